/**
 * Sends each request to its endpoint or to tRPC, and answers what fails.
 * Paths are keys of a Map and compared as they came, so `__proto__` is as unknown as any other path.
 */
import { getTRPCErrorShape } from '@trpc/server'
import { errorOf, isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ApiRequest, Caller } from '../context.ts'
import { BatchBudget } from '../limits/batch-budget.ts'
import { reportedErrorOf, toTrpcError, verbatimErrorOf } from '../to-wire-error.ts'
import { downloadRoute, sendAttachment, uploadAttachment, uploadRoute } from './attachments.ts'
import { resumeChatSse, startChatSse } from './chat-sse.ts'
import { chatStream } from './chat-stream.ts'
import { isForeignPage, preflightHeaders } from './cors.ts'
import { createEndpointFinder } from './endpoint.ts'
import type { FoundEndpoint, Methods, Serve } from './endpoint.ts'
import {
  errorResponse,
  jsonResponse,
  passLargeBody,
  readBoundedBody,
  requestPath,
  requestQuery,
  retryAfterHeader,
} from './exchange.ts'
import type { ApiParts, Exchange, HttpResponse, TrpcCall } from './exchange.ts'
import { exportPrincipal, exportRoute } from './export-principal.ts'
import { createReadiness } from './health.ts'
import { serveMetrics } from './metrics.ts'
import type { Metrics } from './metrics.ts'
import { followRoutes, serveFollow } from './serve-follow.ts'

/** Makes `dispatchRequest`, which returns the route's name for the metrics before the request is served. */
export function createDispatcher(parts: ApiParts, metrics: Metrics) {
  const { engine, options, logger } = parts
  const findEndpoint = createEndpoints(parts, metrics)

  function findRoute(path: string): { readonly route: string; readonly serve: Serve } {
    const decodedPath = decoded(path)
    const endpoint = findEndpoint(decodedPath)
    if (endpoint !== undefined) {
      return { route: endpoint.route, serve: (exchange) => serveMethod(endpoint.methods, exchange) }
    }
    if (path.startsWith(`${options.trpcPath}/`)) {
      return { route: trpcRouteOf(parts, decodedPath), serve: (exchange) => serveTrpcCall(parts, exchange) }
    }
    return { route: '(unknown)', serve: () => Promise.reject(errorOf('NOT_FOUND')) }
  }

  return function dispatchRequest(exchange: Exchange): string {
    if (isForeignPage(options.cors, exchange.request)) {
      exchange.respond(
        errorResponse(new VerbatimError('FORBIDDEN', 'Pages of another origin may not call this server')),
      )
      return '(foreign page)'
    }
    const preflight = preflightHeaders(options.cors, exchange.request)
    if (preflight !== undefined) {
      exchange.respond({ status: 204, headers: preflight })
      return '(preflight)'
    }
    const fullPath = requestPath(exchange.request)
    const path = fullPath.startsWith(options.basePath) ? fullPath.slice(options.basePath.length) : ''
    const { route, serve } = findRoute(path)
    engine
      .continueTrace(exchange.request.headers, async () => await serve(exchange))
      .catch((error: unknown) => {
        if (exchange.closed.aborted && error === exchange.closed.reason) return // the caller left while it waited
        exchange.respond(errorResponse(reportedErrorOf(error, { logger, where: route })))
      })
    return route
  }
}

/** Finds the endpoint of a path after `basePath`. Of tRPC's procedures only the follows have one. */
function createEndpoints(parts: ApiParts, metrics: Metrics) {
  const ready = createReadiness(parts.engine)
  const findFurther = createEndpointFinder(parts)
  const live: Serve = async (exchange) => exchange.respond(jsonResponse(200, { status: 'live' }))
  const fixed = new Map<string, Methods>([
    ['/chat/stream', { POST: (exchange) => chatStream(parts, exchange) }],
    ['/chat/sse', { POST: (exchange) => startChatSse(parts, exchange) }],
    [uploadRoute, { POST: (exchange) => uploadAttachment(parts, exchange) }],
    [exportRoute, { GET: (exchange) => exportPrincipal(parts, exchange) }],
    ['/health/live', { GET: live, HEAD: live }],
    ['/health/ready', { GET: ready, HEAD: ready }],
    ['/metrics', { GET: (exchange) => serveMetrics(parts, exchange, metrics) }],
    ...followRoutes.map((route): [string, Methods] => [
      `${parts.options.trpcPath}/${route}`,
      { GET: (exchange) => serveFollow(parts, exchange, route) },
    ]),
  ])
  return (path: string): FoundEndpoint | undefined => {
    const methods = fixed.get(path)
    if (methods !== undefined) return { route: path, methods }
    const attachmentId = /^\/attachments\/([^/]+)$/.exec(path)?.[1]
    if (attachmentId !== undefined) {
      const send: Serve = (exchange) => sendAttachment(parts, exchange, attachmentId)
      return { route: downloadRoute, methods: { GET: send, HEAD: send } }
    }
    const runId = /^\/chat\/sse\/([^/]+)$/.exec(path)?.[1]
    if (runId === undefined) return findFurther(path)
    return { route: '/chat/sse/:runId', methods: { GET: (exchange) => resumeChatSse(parts, exchange, runId) } }
  }
}

async function serveMethod(methods: Methods, exchange: Exchange): Promise<void> {
  const { method } = exchange.request
  const serve = Object.hasOwn(methods, method) ? methods[method as keyof Methods] : undefined
  if (serve !== undefined) return await serve(exchange)
  exchange.respond(errorResponse(errorOf('METHOD_NOT_ALLOWED'), { allow: Object.keys(methods).join(', ') }))
}

/** Makes the checks that tRPC's adapters leave out, then passes the call on when it is its turn. */
async function serveTrpcCall(parts: ApiParts, exchange: Exchange): Promise<void> {
  const { request, closed } = exchange
  const identified = identify(parts, request)
  const caller = await identified.catch(() => null) // a failure is reported where tRPC asks for the caller
  let leave = () => {}
  try {
    leave = await parts.turns.enter(caller, closed)
    await passLargeBody(parts, exchange, async () => await callTrpc(parts, exchange, identified))
    await exchange.answered() // so that a caller has no more unread answers than turns
  } catch (error) {
    if (closed.aborted) return
    if (!isVerbatimError(error)) throw error
    exchange.respond(trpcErrorResponse(parts, error))
  } finally {
    leave()
  }
}

async function callTrpc(parts: ApiParts, exchange: Exchange, identified: Promise<Caller | null>): Promise<void> {
  const { basePath, trpcPath } = parts.options
  const body = await readTrpcBody(parts, exchange, identified)
  const batch = batchOf(parts, exchange)
  const options = adapterOptions(parts, exchange, async () => ({ principal: await identified, batch }))
  const endpoint = basePath + trpcPath
  const call = async () => await exchange.callTrpc({ endpoint, body, isCounted: batch !== undefined, options })
  await (batch === undefined && body === undefined ? readInTurn(parts, exchange, call) : call())
}

/** A read's turn goes on until its answer is made, so the next one knows how large it was. */
async function readInTurn(
  { reads, answers }: ApiParts,
  { request, closed }: Exchange,
  read: () => Promise<void>,
): Promise<void> {
  const caller = answers.callerOf(request)
  await reads.run(caller, async () => {
    await answers.readPace.keep(caller, closed)
    await read()
  })
}

/** The budget of a request with several calls; a batch of one is a call like others. */
function batchOf(
  { answers, batchLine, reads, options }: ApiParts,
  { request, closed }: Exchange,
): BatchBudget | undefined {
  const isBatch = requestQuery(request).get('batch') === '1' && decoded(requestPath(request)).includes(',')
  if (!isBatch) return undefined
  const caller = answers.callerOf(request)
  return new BatchBudget({ ...options, caller, line: batchLine, reads, pace: answers.pace.of(caller, closed) })
}

async function readTrpcBody(
  parts: ApiParts,
  exchange: Exchange,
  identified: Promise<Caller | null>,
): Promise<string | undefined> {
  const { method } = exchange.request
  if (method === 'GET') return undefined
  if (method !== 'POST') throw errorOf('METHOD_NOT_ALLOWED')
  // A body without a caller is not read. A failure to find the caller is one of the server, which tRPC answers.
  if ((await identified.catch(() => undefined)) === null) throw errorOf('UNAUTHENTICATED')
  // tRPC also accepts forms and raw bytes, which any page can send with its visitor's cookies. It replaces bytes that are not
  // UTF-8 with U+FFFD, and so would store text that the caller did not send.
  return await readBoundedBody(exchange, parts.options)
}

/** @throws TRPCError the application's own, or a masked one */
async function identify({ identify: ask, logger }: ApiParts, request: ApiRequest): Promise<Caller | null> {
  try {
    return await ask(request)
  } catch (error) {
    throw toTrpcError(reportedErrorOf(error, { logger, where: 'authenticate' }))
  }
}

function adapterOptions(
  { router, options, logger }: ApiParts,
  exchange: Exchange,
  createContext: TrpcCall['options']['createContext'],
): TrpcCall['options'] {
  return {
    router,
    maxBatchSize: options.maxBatchSize,
    createContext,
    responseMeta: ({ errors }) => ({
      headers: new Headers({ ...exchange.sharedHeaders, ...retryAfterHeader(errors.map(verbatimErrorOf)) }),
    }),
    onError({ error, path }) {
      const isProcedure = path !== undefined && Object.hasOwn(router._def.procedures, path)
      reportedErrorOf(error, { logger, where: isProcedure ? path : 'trpc' })
    },
  }
}

function trpcErrorResponse({ router }: ApiParts, cause: VerbatimError): HttpResponse {
  const config = router._def._config
  const error = toTrpcError(cause)
  const shape = getTRPCErrorShape({ config, error, type: 'unknown', path: undefined, input: undefined, ctx: undefined })
  const headers = cause.code === 'METHOD_NOT_ALLOWED' ? { allow: 'GET, POST' } : retryAfterHeader([cause])
  return jsonResponse(cause.httpStatus, { error: config.transformer.output.serialize(shape) }, headers)
}

/** A tRPC call's name in metrics: a name of the router, never the caller's own text. */
function trpcRouteOf({ router, options }: ApiParts, path: string): string {
  const name = path.slice(options.trpcPath.length + 1)
  if (name.includes(',')) return `${options.trpcPath}/(batch)`
  return Object.hasOwn(router._def.procedures, name) ? path : `${options.trpcPath}/(unknown)`
}

/** The path as tRPC reads it, so that an encoded dot does not lead around an endpoint. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path // malformed: no endpoint has such a name, and tRPC refuses it
  }
}
