/**
 * The SDK writes the JSON of a request from JavaScript's values, which cannot hold all that a model may write: large integers,
 * the order of keys that look like numbers, two equal keys, white space. This puts our JSON in the place of the SDK's.
 */
import type { Middleware } from '@anthropic-ai/sdk/core/middleware'
import type { ClaudeClient } from './claude-options.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

/** The request option that sends `json`; none where the client would not pass it on as it is. */
export function sendExactly(
  client: ClaudeClient,
  { body, json, hasExactInput }: ClaudeRequest,
): { middleware?: readonly Middleware[] } {
  if (!hasExactInput || readsBodyAgain(client)) return {}
  return {
    middleware: [
      // Middleware of the caller's client comes first: what it has changed stays as it made it.
      async (request, next) => await next(request.body === JSON.stringify(body) ? { ...request, body: json } : request),
    ],
  }
}

/** The clients for other platforms parse the body to adapt it, and would round what `body` holds as strings. */
function readsBodyAgain(client: object): boolean {
  if (!('backendMiddleware' in client) || typeof client.backendMiddleware !== 'function') return false
  const adaptations: unknown = client.backendMiddleware()
  return !Array.isArray(adaptations) || adaptations.length > 0
}
