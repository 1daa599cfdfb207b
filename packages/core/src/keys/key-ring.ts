/**
 * The content keys that a process holds in memory: few, for a bounded time, and asked for once however many callers wait.
 * In: the operator's key service. Out: keys that the service has confirmed lately.
 */
import { raceSignal } from '../async/race-signal.ts'
import { isVerbatimError, VerbatimError } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { Clock } from '../ports/clock.ts'
import type { ContentKey, KeyService } from '../ports/key-service.ts'
import { toHeldKey } from './seal.ts'
import type { HeldKey } from './seal.ts'

/**
 * A key that the service has confirmed within this time is used without asking, in milliseconds. No longer than an erasure keeps new
 * content out after it has destroyed the key (one lease): a user who comes back must not write with it.
 */
const freshMs = 30_000

/** A run that goes on, and a reader, may use a key for so long while the service is away: longer than a run lasts. */
const maxAgeMs = 15 * 60_000

/** How long the service may take, in milliseconds: a caller's request waits for it. */
const timeoutMs = 2_000

/** After a failure the service is left alone for this long, so that a dead one delays few calls. */
const pauseMs = 1_000

/** An owner's key costs about 300 bytes. */
const maxKeys = 10_000

export interface KeyRing {
  /**
   * The owner's key for new content.
   *
   * @param mayBeOld for a run that goes on: never waits for the service while a key of up to 15 minutes is held
   * @throws VerbatimError `UNAVAILABLE`
   */
  current(owner: Owner, options?: { mayBeOld?: boolean }): Promise<HeldKey>
  /** The key of this id; undefined when it was destroyed. @throws VerbatimError `UNAVAILABLE` */
  find(id: string): Promise<HeldKey | undefined>
  /** @throws VerbatimError `UNAVAILABLE` */
  destroy(owner: Owner): Promise<void>
}

export function createKeyRing(service: KeyService, clock: Clock): KeyRing {
  const byOwner = new Answers<HeldKey>(clock)
  const byId = new Answers<HeldKey | undefined>(clock)
  const ask = async <TAnswer>(call: (options: { signal: AbortSignal }) => Promise<TAnswer>) => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      return await raceSignal(call({ signal }), signal)
    } catch (error) {
      throw isVerbatimError(error) ? error : unavailable(error)
    }
  }
  const find = (id: string) => async () => held(await ask((options) => service.find(id, options)))
  return {
    async current(owner, { mayBeOld = false } = {}) {
      const load = async () => toHeldKey(await ask((options) => service.current(owner, options)))
      const key = await byOwner.get(ownerKey(owner), load, mayBeOld ? 'old at once' : 'fresh')
      byId.add(key.id, key)
      return key
    },
    find: (id) => byId.get(id, find(id), 'old when it fails'),
    async destroy(owner) {
      await ask((options) => service.destroy(owner, options))
      const known = byOwner.take(ownerKey(owner))
      if (known !== undefined) byId.take(known.id)
    },
  }
}

function held(found: ContentKey | undefined): HeldKey | undefined {
  return found && toHeldKey(found)
}

function ownerKey({ tenantId, ownerId }: Owner): string {
  return JSON.stringify([tenantId, ownerId])
}

function unavailable(cause: unknown): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The key service cannot be reached just now; try again', {
    data: { retryAfterMs: pauseMs },
    cause,
  })
}

/** When an answer that is not fresh any more may be used: never, when the service fails, or at once while it is asked again. */
type Leniency = 'fresh' | 'old when it fails' | 'old at once'

interface Answer<TValue> {
  readonly value: TValue
  readonly atMs: number
}

/** Answers of the service, the oldest first. */
class Answers<TValue> {
  readonly #clock: Clock
  readonly #known = new Map<string, Answer<TValue>>()
  readonly #asked = new Map<string, Promise<TValue>>()
  readonly #failed = new Map<string, { readonly error: unknown; readonly atMs: number }>()
  #purge: NodeJS.Timeout | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async get(name: string, load: () => Promise<TValue>, leniency: Leniency): Promise<TValue> {
    const known = this.#known.get(name)
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : this.#ageOf(known)
    if (known !== undefined && ageMs < freshMs) return known.value
    const asked = this.#ask(name, load)
    if (known === undefined || ageMs >= maxAgeMs || leniency === 'fresh') return await asked
    const fallback = asked.catch(() => known.value) // what fails now is asked again by a later call
    return leniency === 'old at once' ? known.value : await fallback
  }

  add(name: string, value: TValue): void {
    if (this.#known.get(name)?.value !== value) this.#store(name, value)
  }

  take(name: string): TValue | undefined {
    const known = this.#known.get(name)
    this.#known.delete(name)
    return known?.value
  }

  /** One call at a time for each name; after a failure its error is the answer for a while. */
  #ask(name: string, load: () => Promise<TValue>): Promise<TValue> {
    const failed = this.#failed.get(name)
    if (failed !== undefined && this.#ageOf(failed) < pauseMs) return Promise.reject(failed.error)
    const asked = this.#asked.get(name) ?? this.#load(name, load).finally(() => this.#asked.delete(name))
    this.#asked.set(name, asked)
    return asked
  }

  async #load(name: string, load: () => Promise<TValue>): Promise<TValue> {
    try {
      const value = await load()
      this.#failed.delete(name)
      this.#store(name, value)
      return value
    } catch (error) {
      this.#failed.delete(name)
      this.#failed.set(name, { error, atMs: this.#clock.monotonicMs() })
      trim(this.#failed)
      throw error
    }
  }

  #store(name: string, value: TValue): void {
    this.#known.delete(name)
    this.#known.set(name, { value, atMs: this.#clock.monotonicMs() })
    trim(this.#known)
    this.#purgeLater()
  }

  /** Secrets leave the memory also when no caller asks any more. */
  #purgeLater(): void {
    if (this.#purge !== undefined) return
    this.#purge = setTimeout(() => {
      this.#purge = undefined
      for (const [name, answer] of this.#known) if (this.#ageOf(answer) >= maxAgeMs) this.#known.delete(name)
      if (this.#known.size > 0) this.#purgeLater()
    }, maxAgeMs).unref()
  }

  #ageOf({ atMs }: { readonly atMs: number }): number {
    return this.#clock.monotonicMs() - atMs
  }
}

/** The oldest go. */
function trim(map: Map<string, unknown>): void {
  for (const name of map.keys()) {
    if (map.size <= maxKeys) return
    map.delete(name)
  }
}
