import { authorizedFetch } from './token.ts'
import type { AuthorizedFetch, AuthorizeOptions } from './token.ts'
import type { BackoffOptions } from './backoff.ts'

/** How calls and streams are tried again. */
export interface RetryOptions extends BackoffOptions {
  /** Failed attempts in a row, without any progress, after which a stream gives up. @default Infinity */
  readonly maxAttempts: number
  /**
   * Attempts of what may be repeated safely (`runs.start`, `runs.retry`, `runs.cancel`, `sessions.delete` and loading a handle's
   * `message`) before it fails. @default 8
   */
  readonly maxCallAttempts: number
}

/** What a connection is made of. */
export interface ConnectionOptions extends AuthorizeOptions {
  readonly url: string
  readonly mountedAs: string | undefined
  readonly retry: RetryOptions
  readonly idleTimeoutMs: number
}

/** The way to one server, shared by every call and stream of a client. */
export interface Connection {
  /** Where the procedures are, without a slash at the end. */
  readonly url: string
  /** The full name of one of our procedures on this server. */
  readonly pathOf: (procedure: string) => string
  readonly fetch: AuthorizedFetch
  readonly retry: RetryOptions
  /** Silence after which a stream's connection is taken for dead, in milliseconds. */
  readonly idleTimeoutMs: number
}

export function createConnection(options: ConnectionOptions): Connection {
  const { url, mountedAs, retry, idleTimeoutMs } = options
  const pathOf = (procedure: string) => (mountedAs === undefined ? procedure : `${mountedAs}.${procedure}`)
  return { url, pathOf, retry, idleTimeoutMs, fetch: authorizedFetch(options) }
}
