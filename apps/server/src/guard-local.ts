/**
 * Without tokens every caller on loopback is the local user, and a browser lets any web page call. So a request must name a
 * loopback host, which a rebound DNS name does not, and a page's request must come from this server's own origin or a listed one.
 */
import type { IncomingMessage } from 'node:http'

/** True for a name or address that only this machine can reach: `localhost`, `127.*`, `::1`. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name)
}

/** Why the server refuses a request; undefined when it does not. `origins` are of pages that may call besides its own. */
export function refusalOfForeign(
  { headers }: Pick<IncomingMessage, 'headers'>,
  origins: readonly string[] = [],
): string | undefined {
  const { host = '', origin } = headers
  if (!isLoopback(host.replace(/:\d{1,5}$/, ''))) {
    return 'This server answers to localhost only; open it under that name, or set VERBATIM_TOKENS'
  }
  if (origin !== undefined && authorityOf(origin) !== host.toLowerCase() && !origins.includes(origin)) {
    return 'Pages of another origin may not call this server; name their origin in VERBATIM_ORIGINS'
  }
  return undefined
}

/** The origin `null` (a sandboxed page, a file) has none. */
function authorityOf(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1]
}
