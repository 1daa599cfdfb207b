/** Frames of the event streams: tRPC's own format for `runs.follow`, and the plain one of /chat/sse. Each is one string, written at once. */

/** tRPC's frames end with two blank lines, so ours do too. */
function trpcFrame(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n\n`
}

/** The first frame of a tRPC subscription: what its client should know of the server. */
export function connectedFrame(client: { reconnectAfterInactivityMs: number }): string {
  return trpcFrame('connected', JSON.stringify(client))
}

/** A heartbeat that tRPC's clients see as a sign of life. */
export const pingFrame = trpcFrame('ping', '')

/** The subscription is over for good: clients do not come back. */
export const returnFrame = trpcFrame('return', '')

/** A refusal; clients come back only when its JSON-RPC code says so. `json` is one line. */
export function errorFrame(json: string): string {
  return trpcFrame('serialized-error', json)
}

/** A tracked value. `id` is a cursor, so it holds no line break; `json` is one line. */
export function trackedFrame(id: string, json: string): string {
  return `data: ${json}\nid: ${id}\n\n\n`
}

/** A frame of the plain stream; without an id the client keeps the one it has. */
export function plainFrame(json: string, id?: string): string {
  return id === undefined ? `data: ${json}\n\n` : `id: ${id}\ndata: ${json}\n\n`
}

/** How long an EventSource waits before it comes back. */
export function retryHint(retryMs: number): string {
  return `retry: ${Math.round(retryMs)}\n\n`
}

/** A heartbeat that no client sees as an event. */
export const commentFrame = ': ping\n\n'
