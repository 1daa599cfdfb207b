import { Principal } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Logger, Engine } from '@verbatim/core/server'
import type { z } from 'zod'

/** A principal as an application gives it, without `tenantId` and `scopes` if it likes; null or undefined when there is none. */
export type PrincipalInput = z.input<typeof Principal> | null | undefined

/** @throws Error when the application gives a malformed principal: a fault of the server, not of the caller */
export function toPrincipal(input: PrincipalInput): Principal | null {
  if (input == null) return null
  const parsed = Principal.safeParse(input)
  if (!parsed.success) throw new Error('The application gave a malformed principal')
  return parsed.data
}

/** tRPC's context in an API of `createApi`. A team that mounts the router has a context of its own. */
export interface ApiContext {
  /** The caller; null without valid credentials. */
  readonly principal: Principal | null
}

/** The context of every procedure. */
export interface CallContext {
  readonly engine: Engine
  readonly logger: Logger | undefined
}

/** The context of procedures that need a principal. */
export interface AuthedContext extends CallContext {
  readonly owner: Owner
  readonly principal: Principal
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
 * Returns the caller's principal, or null without valid credentials. The API calls it for each request, so also at each reconnect.
 * Throw `VerbatimError` (`UNAVAILABLE`) when it cannot decide now; any other error becomes a masked 500.
 */
export type Authenticate = (request: ApiRequest) => PrincipalInput | Promise<PrincipalInput>
