/** Everything of tRPC but the follow goes through tRPC's own adapters, behind checks that they do not make. */
import { getTRPCErrorShape } from '@trpc/server'
import type { TRPCError } from '@trpc/server'
import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ApiContext } from '../context.ts'
import type { AppRouter } from '../create-router.ts'
import { reportedErrorOf, toTrpcError } from '../to-wire-error.ts'
import type { ApiParts } from './api-parts.ts'
import { jsonAnswer, requireJson } from './exchange.ts'
import type { Answer, Exchange } from './exchange.ts'

/** What both of tRPC's adapters take from us. */
export function adapterOptions(parts: ApiParts, exchange: Exchange) {
  const { router, options, logger, identify } = parts
  return {
    router,
    maxBatchSize: options.maxBatchSize,
    createContext: async (): Promise<ApiContext> => {
      try {
        return { principal: await identify(exchange.request) }
      } catch (error) {
        throw toTrpcError(reportedErrorOf(error, { logger, where: 'authenticate' }))
      }
    },
    responseMeta: () => ({ headers: new Headers(exchange.sharedHeaders) }),
    onError: ({ error, path }: { error: TRPCError; path: string | undefined }) => {
      reportedErrorOf(error, { logger, where: path ?? 'trpc' })
    },
  }
}

/** A call's body as tRPC may have it, undefined for a query; or the answer to a call that tRPC must not see. */
export async function readCall(
  parts: ApiParts,
  exchange: Exchange,
): Promise<{ readonly body: string | undefined } | { readonly refusal: Answer }> {
  const { request } = exchange
  try {
    if (request.method !== 'GET' && request.method !== 'POST') throw new VerbatimError('METHOD_NOT_ALLOWED')
    if (request.method !== 'POST') return { body: undefined }
    // tRPC would also take forms and raw bytes, which any page can send along with its visitor's cookies.
    requireJson(request)
    // And it would put U+FFFD in the place of bytes that are not UTF-8, and so store what nobody said.
    return { body: await exchange.readBody(parts.options.maxBodyBytes) }
  } catch (error) {
    if (!isVerbatimError(error)) throw error
    return { refusal: trpcErrorAnswer(parts.router, error) }
  }
}

/** A call's name in metrics: one of the router's own, never what the caller made up. */
export function routeOfCall({ router, options }: ApiParts, path: string): string {
  const name = path.slice(options.trpcPath.length + 1)
  if (name.includes(',')) return `${options.trpcPath}/(batch)`
  return Object.hasOwn(router._def.procedures, name) ? path : `${options.trpcPath}/(unknown)`
}

function trpcErrorAnswer(router: AppRouter<ApiContext>, cause: VerbatimError): Answer {
  const config = router._def._config
  const error = toTrpcError(cause)
  const shape = getTRPCErrorShape({ config, error, type: 'unknown', path: undefined, input: undefined, ctx: undefined })
  const headers = cause.code === 'METHOD_NOT_ALLOWED' ? { allow: 'GET, POST' } : undefined
  return jsonAnswer(cause.httpStatus, { error: config.transformer.output.serialize(shape) }, headers)
}
