/**
 * What a request needs that the SDK's own parameters cannot say, as a middleware of that one request.
 * The SDK writes JSON from JavaScript's values, which cannot hold all that a model may write: large integers, the order of keys
 * that look like numbers, two equal keys, white space. And it lets a header take the place of the caller's, where both count.
 */
import type { Middleware } from '@anthropic-ai/sdk/core/middleware'
import type { ClaudeClient } from './claude-options.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

/** The request option that sends `json` and `betas`. Middleware of the caller's client comes before it. */
export function middlewareFor(client: ClaudeClient, request: ClaudeRequest): { middleware?: readonly Middleware[] } {
  const exact = request.hasExactInput && !readsBodyAgain(client) ? [withJson(request)] : []
  const middleware = [...exact, ...request.betas.map(withBeta)]
  return middleware.length === 0 ? {} : { middleware }
}

/** What middleware of the caller has changed stays as it made it. */
function withJson({ body, json }: ClaudeRequest): Middleware {
  return async (request, next) =>
    await next(request.body === JSON.stringify(body) ? { ...request, body: json } : request)
}

function withBeta(beta: string): Middleware {
  return async (request, next) => {
    const headers = new Headers(request.headers)
    headers.append('anthropic-beta', beta)
    return await next({ ...request, headers })
  }
}

/** The clients for other platforms parse the body to adapt it, and would round what `body` holds as strings. */
function readsBodyAgain(client: object): boolean {
  if (!('backendMiddleware' in client) || typeof client.backendMiddleware !== 'function') return false
  const adaptations: unknown = client.backendMiddleware()
  return !Array.isArray(adaptations) || adaptations.length > 0
}
