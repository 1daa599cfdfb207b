import { reportedErrorOf } from '../to-wire-error.ts'
import type { ApiParts } from './api-parts.ts'
import { preflightAnswer } from './cors.ts'
import type { Endpoint } from './endpoints.ts'
import type { Exchange } from './exchange.ts'
import { errorAnswer, methodNotAllowed, notFound } from './http-error.ts'
import { readCall, routeOfCall } from './trpc-calls.ts'

/** Sends each call where it belongs and answers what fails; gives the route's name at once. */
export function createSwitchboard(parts: ApiParts, findEndpoint: (path: string) => Endpoint | undefined) {
  const { options, logger } = parts

  async function answerErrors(exchange: Exchange, serving: Promise<void>, route: string): Promise<void> {
    try {
      await serving
    } catch (error) {
      exchange.answer(errorAnswer(reportedErrorOf(error, { logger, where: route })))
    }
  }

  async function serveEndpoint({ methods }: Endpoint, exchange: Exchange): Promise<void> {
    const { method } = exchange.request
    const serve = Object.hasOwn(methods, method) ? methods[method as keyof typeof methods] : undefined
    if (serve !== undefined) return await serve(exchange)
    exchange.answer(errorAnswer(methodNotAllowed(), { allow: Object.keys(methods).join(', ') }))
  }

  async function serveCall(exchange: Exchange, pass: (body: string | undefined) => Promise<void>): Promise<void> {
    const call = await readCall(parts, exchange)
    if ('refusal' in call) exchange.answer(call.refusal)
    else await pass(call.body)
  }

  return {
    serve(exchange: Exchange, passToTrpc: (path: string, body: string | undefined) => Promise<void>): string {
      const path = exchange.path.startsWith(options.basePath) ? exchange.path.slice(options.basePath.length) : ''
      const preflight = preflightAnswer(options.cors, exchange.request)
      const endpoint = findEndpoint(decoded(path))
      if (preflight !== undefined) {
        exchange.answer(preflight)
        return '(preflight)'
      }
      if (endpoint !== undefined) {
        void answerErrors(exchange, serveEndpoint(endpoint, exchange), endpoint.route)
        return endpoint.route
      }
      if (path.startsWith(`${options.trpcPath}/`)) {
        const route = routeOfCall(parts, decoded(path))
        void answerErrors(
          exchange,
          serveCall(exchange, async (body) => await passToTrpc(path, body)),
          route,
        )
        return route
      }
      exchange.answer(errorAnswer(notFound()))
      return '(unknown)'
    },
  }
}

/** The path as tRPC reads it, so that an encoded dot does not lead around an endpoint. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path // malformed: no endpoint is called that, and tRPC refuses it by itself
  }
}
