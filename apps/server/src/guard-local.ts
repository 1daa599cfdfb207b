/**
 * On loopback without tokens whoever reaches the port is the local user, and a browser reaches it for any web page. So a
 * request must name a loopback host (a rebound DNS name does not), and come from this very origin when a page sends it.
 */
import type { IncomingMessage } from 'node:http'
import { isLoopback } from './loopback.ts'

/** Why a request is refused; undefined when it is not. */
export function refusalOfForeign({ headers }: Pick<IncomingMessage, 'headers'>): string | undefined {
  const { host = '', origin } = headers
  if (!isLoopback(hostnameOf(host))) {
    return 'This server answers to localhost only; open it under that name, or set VERBATIM_TOKENS'
  }
  if (origin !== undefined && authorityOf(origin) !== host.toLowerCase()) {
    return 'Pages of another origin may not call this server; set VERBATIM_TOKENS to serve them'
  }
  return undefined
}

function hostnameOf(host: string): string {
  return host.replace(/:\d{1,5}$/, '')
}

/** `null` (a sandboxed page, a file) and what is no URL have none. */
function authorityOf(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1]
}
