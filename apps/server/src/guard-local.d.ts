/**
 * Without tokens every caller on loopback is the local user, and a browser lets any web page call. So a request must name a
 * loopback host, which a rebound DNS name does not, and a page's request must come from this server's own origin or a listed one.
 */
import type { IncomingMessage } from 'node:http'
/** True for a name or address that only this machine can reach: `localhost`, `127.*`, `::1`. */
export declare function isLoopback(host: string): boolean
/** Why the server refuses a request; undefined when it does not. `origins` are of pages that may call besides its own. */
export declare function refusalOfForeign(
  { headers }: Pick<IncomingMessage, 'headers'>,
  origins?: readonly string[],
): string | undefined
//# sourceMappingURL=guard-local.d.ts.map
