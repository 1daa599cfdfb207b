import { Principal } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Logger, Engine } from '@verbatim/core/server'
import { z } from 'zod'
import type { BatchBudget } from './limits/batch-budget.ts'

/** Milliseconds; a time in seconds, such as the `exp` of a JWT, lies before it. */
const earliestExpiry = Date.UTC(2000, 0, 1)

const CallerInput = Principal.extend({
  expiresAt: z
    .union([z.date().transform((date) => date.getTime()), z.number()])
    .refine((time) => time >= earliestExpiry, 'Is a Date, or milliseconds since 1970')
    .optional(),
})

/**
 * A principal as an application gives it, without `tenantId` and `scopes` if it likes; null or undefined when there is none.
 * `expiresAt` (a Date, or milliseconds since 1970) says when the credentials end: a call fails after that, and a stream ends then.
 */
export type PrincipalInput = z.input<typeof CallerInput> | null | undefined

/** The principal of a call. */
export interface Caller extends Principal {
  /** When the credentials end, in milliseconds since 1970; undefined when they do not. */
  readonly expiresAt?: number | undefined
}

/**
 * The caller that `input` names; null without one, and when its credentials have ended.
 *
 * @throws Error when the application gives a malformed principal: a fault of the server, not of the caller
 */
export function toPrincipal(input: PrincipalInput): Caller | null {
  if (input == null) return null
  const parsed = CallerInput.safeParse(input)
  if (!parsed.success) throw new Error('The application gave a malformed principal')
  return hasExpired(parsed.data) ? null : parsed.data
}

export function hasExpired({ expiresAt }: Caller): boolean {
  return expiresAt !== undefined && expiresAt <= new Date().getTime()
}

/** One string for each principal; all callers without one are one. */
export function callerKey(caller: Principal | null): string {
  return caller === null ? '' : JSON.stringify([caller.tenantId, caller.userId])
}

/** tRPC's context in an API of `createApi`. A team that mounts the router has a context of its own. */
export interface ApiContext {
  /** The caller; null without valid credentials. */
  readonly principal: Principal | null
  /** What the calls of a batch share; undefined for a call alone. */
  readonly batch?: BatchBudget | undefined
}

/** The context of every procedure. */
export interface CallContext {
  readonly engine: Engine
  readonly logger: Logger | undefined
}

/**
 * Why a stream loses its caller. `expired`: the credentials have ended, or could not be checked for too long, so the client comes
 * back with fresh ones. `refused`: they name another owner now, or none.
 */
export type CredentialsEnd = 'expired' | 'refused'

export type WatchCredentials = (onEnd: (end: CredentialsEnd) => void) => () => void

/** The context of procedures that need a principal. */
export interface AuthedContext extends CallContext {
  readonly owner: Owner
  readonly principal: Principal
  /** Watches the caller's credentials until its result is called; undefined when the API itself ends its streams. */
  readonly watchCredentials: WatchCredentials | undefined
}

/** What `authenticate` sees of a request, the same in Node and fetch. */
export interface ApiRequest {
  readonly method: string
  /** Path and query, unchanged. */
  readonly url: string
  readonly headers: Headers
  /** The peer's address; undefined in fetch handlers. */
  readonly remoteAddress?: string | undefined
}

/**
 * Returns the caller's principal, or null without valid credentials. The API calls it for each request, so also at each reconnect,
 * and again with the same request for each open stream, every `reauthenticateMs`; so it must not spend a credential.
 * Throw `VerbatimError` (`UNAVAILABLE`) when it cannot decide now; any other error becomes a masked 500.
 */
export type Authenticate = (request: ApiRequest) => PrincipalInput | Promise<PrincipalInput>
