/**
 * What callers may do at most, decided before anything is stored or a model is asked. In: who wants what. Out: a place, or
 * `RATE_LIMITED` with the name of the limit and the time to wait. Limits that are off cost nothing.
 */
import { rateLimited } from '../contract/limit-error.ts'
import type { LimitScope } from '../contract/limit-error.ts'
import type { Owner } from '../contract/principal.ts'
import type { Clock } from '../ports/clock.ts'
import type { LimitOptions } from '../ports/limit-options.ts'
import type { StoredLimits } from '../ports/run-repository.ts'
import { TokenBuckets } from './token-buckets.ts'

/** What a call takes of its rates. */
export interface Demand {
  readonly starts: number
  readonly bytes: number
}

const scopes = ['principal', 'tenant', 'process'] as const satisfies readonly LimitScope[]

interface Rate {
  readonly scope: LimitScope
  readonly what: keyof Demand
  readonly buckets: TokenBuckets
}

export class Limits {
  /** The limits that the database holds, across processes. */
  readonly stored: StoredLimits
  readonly #options: LimitOptions
  readonly #clock: Clock
  readonly #activeRuns: () => number
  readonly #rates: readonly Rate[]
  readonly #followers = new Map<string, number>()
  #starting = 0

  /** @param parts.activeRuns how many runs this process drives */
  constructor({ options, clock, activeRuns }: { options: LimitOptions; clock: Clock; activeRuns: () => number }) {
    const { principal, tenant } = options
    this.stored = Object.freeze({
      principalActiveRuns: principal.activeRuns,
      tenantActiveRuns: tenant.activeRuns,
      principalSessions: principal.sessions,
      principalAttachmentBytes: principal.attachmentBytes,
    })
    this.#options = options
    this.#clock = clock
    this.#activeRuns = activeRuns
    this.#rates = scopes.flatMap((scope) => {
      const { startsPerMinute, bytesPerMinute } = options[scope]
      return [...rateOf(scope, 'starts', startsPerMinute), ...rateOf(scope, 'bytes', bytesPerMinute)]
    })
  }

  /**
   * Takes what a call needs; the answer refunds it, for a call that was made before.
   *
   * @throws VerbatimError `RATE_LIMITED`; nothing is taken then
   */
  take(owner: Owner, demand: Demand): () => void {
    const nowMs = this.#clock.monotonicMs()
    const wanted = this.#rates.filter(({ what }) => demand[what] > 0)
    for (const { scope, what, buckets } of wanted) {
      const retryAfterMs = buckets.waitMs(keyOf(scope, owner), demand[what], nowMs)
      if (retryAfterMs > 0) throw rateLimited(scope, what, retryAfterMs)
    }
    for (const { scope, what, buckets } of wanted) buckets.take(keyOf(scope, owner), demand[what], nowMs)
    return () => {
      for (const { scope, what, buckets } of wanted) buckets.refund(keyOf(scope, owner), demand[what])
    }
  }

  /** A place for a run that this process is about to begin; the answer ends the beginning. @throws VerbatimError `RATE_LIMITED` */
  beginRun(): () => void {
    const { activeRuns = Infinity } = this.#options.process
    if (this.#activeRuns() + this.#starting >= activeRuns) throw rateLimited('process', 'active_runs')
    this.#starting++
    return () => void this.#starting--
  }

  /** A place for a follow; the answer gives it back. @throws VerbatimError `RATE_LIMITED` */
  follow(owner: Owner): () => void {
    const limited = scopes.filter((scope) => this.#options[scope].followers !== undefined)
    for (const scope of limited) {
      const { followers = Infinity } = this.#options[scope]
      if (this.#followersOf(scope, owner) >= followers) throw rateLimited(scope, 'followers')
    }
    for (const scope of limited) this.#addFollowers(scope, owner, 1)
    return () => {
      for (const scope of limited) this.#addFollowers(scope, owner, -1)
    }
  }

  #followersOf(scope: LimitScope, owner: Owner): number {
    return this.#followers.get(keyOf(scope, owner)) ?? 0
  }

  #addFollowers(scope: LimitScope, owner: Owner, more: 1 | -1): void {
    const count = this.#followersOf(scope, owner) + more
    if (count === 0) this.#followers.delete(keyOf(scope, owner))
    else this.#followers.set(keyOf(scope, owner), count)
  }
}

function rateOf(scope: LimitScope, what: keyof Demand, perMinute: number | undefined): Rate[] {
  return perMinute === undefined ? [] : [{ scope, what, buckets: new TokenBuckets({ perMinute }) }]
}

/** Long names are no way to more memory: those of a principal have a bound. */
function keyOf(scope: LimitScope, { tenantId, ownerId }: Owner): string {
  if (scope === 'process') return scope
  return JSON.stringify(scope === 'tenant' ? [tenantId] : [tenantId, ownerId])
}
