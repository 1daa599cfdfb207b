import type { RequestListener, ServerResponse } from 'node:http'
import { VerbatimError } from '@verbatim/core'
import { refusalOfForeign } from './guard-local.ts'

const apiPath = /^\/(?:trpc|chat|attachments|principals|health|metrics)(?:[/?]|$)/

/** Sends the API's paths to the API and the rest to the web app; without tokens only for this machine's pages and programs. */
export function createRoutes({
  api,
  web,
  isLocalOnly,
  origins,
}: {
  api: RequestListener
  web: RequestListener
  isLocalOnly: boolean
  /** Of pages that may call besides the server's own. */
  origins?: readonly string[] | undefined
}): RequestListener {
  return (request, response) => {
    const refusal = isLocalOnly ? refusalOfForeign(request, origins) : undefined
    if (refusal !== undefined) return refuse(response, refusal)
    return apiPath.test(request.url ?? '') ? api(request, response) : web(request, response)
  }
}

/** The refused page learns nothing from the answer, and the rest of its request stays unread. */
const refusalHeaders = {
  'content-type': 'application/json',
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  connection: 'close',
} as const

function refuse(response: ServerResponse, reason: string): void {
  const error = new VerbatimError('FORBIDDEN', reason)
  const body = JSON.stringify({ error: error.toWire() })
  response.writeHead(error.httpStatus, refusalHeaders).end(body)
}
