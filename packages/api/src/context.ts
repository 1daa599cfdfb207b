import { Principal } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Logger, Engine } from '@verbatim/core/server'
import type { z } from 'zod'

/** A principal as an application names it: `tenantId` and `scopes` may be left out. Nothing stands for nobody. */
export type PrincipalInput = z.input<typeof Principal> | null | undefined

/** @throws Error when the application's principal is malformed, which is a fault of the server and not of the caller */
export function toPrincipal(input: PrincipalInput): Principal | null {
  if (input == null) return null
  const parsed = Principal.safeParse(input)
  if (!parsed.success) throw new Error('The application gave a malformed principal')
  return parsed.data
}

/** tRPC's context in an API made by `createApi`. A team that mounts the router has its own instead. */
export interface ApiContext {
  /** Who calls; null when nobody was recognised. */
  readonly principal: Principal | null
}

/** What every procedure has at hand. */
export interface CallContext {
  readonly engine: Engine
  readonly logger: Logger | undefined
}

/** What procedures have that need a principal. */
export interface AuthedContext extends CallContext {
  readonly owner: Owner
}

/** What `authenticate` sees of a request, the same in Node and fetch. */
export interface ApiRequest {
  readonly method: string
  /** Path and query, as the request named them. */
  readonly url: string
  readonly headers: Headers
  /** The peer's address; undefined in fetch handlers, which do not know it. */
  readonly remoteAddress?: string | undefined
}

/**
 * Says who calls: a principal, or null for nobody. Called once per request and connection, so also at each reconnect.
 * Throw `VerbatimError` (`UNAVAILABLE`) when that cannot be told now; any other throw answers a masked 500.
 */
export type Authenticate = (request: ApiRequest) => PrincipalInput | Promise<PrincipalInput>
