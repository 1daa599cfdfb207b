/**
 * Checks the credentials of open streams again. In: what each stream was opened with. Out: one call of `onEnd` when they end.
 * One timer for all streams. The first check of a stream comes at a random moment, and few checks run at the same time, so that
 * a thousand streams do not call `authenticate` in one moment.
 */
import { errorOf, isVerbatimError, VerbatimError } from '@verbatim/core'
import type { Logger } from '@verbatim/core/server'
import { hasExpired } from '../context.ts'
import type { Caller, CredentialsEnd } from '../context.ts'

export const defaultReauthenticateMs = 60_000

/** The credentials of one stream. */
export interface StreamCredentials {
  /** Who opened the stream. */
  readonly caller: Caller
  /** Asks the application again, with the same request. */
  readonly identify: () => Promise<Caller | null>
  /** Called once, unless the stream is released before. */
  readonly onEnd: (end: CredentialsEnd) => void
}

interface Watch extends Omit<StreamCredentials, 'caller'> {
  caller: Caller
  dueAt: number
  /** The last time that the application answered. */
  answeredAt: number
}

const maxConcurrentChecks = 16
/** A check that takes longer counts as one without an answer, or a lost one would hold its place for ever. */
const checkTimeoutMs = 10_000
/** A stream outlives this many intervals without an answer of the application. */
const maxUnansweredIntervals = 5

export class Reauthenticator {
  readonly #intervalMs: number
  readonly #logger: Logger | undefined
  readonly #watches = new Set<Watch>()
  readonly #due: Watch[] = []
  #checks = 0
  #timer: ReturnType<typeof setInterval> | undefined
  #warnedAt = Number.NEGATIVE_INFINITY

  /** @throws VerbatimError `INVALID_CONFIGURATION` */
  constructor({ reauthenticateMs, logger }: { reauthenticateMs: number; logger: Logger | undefined }) {
    if (!(reauthenticateMs > 0)) throw new VerbatimError('INVALID_CONFIGURATION', 'reauthenticateMs must be over 0')
    this.#intervalMs = reauthenticateMs
    this.#logger = logger
  }

  /** Watches a stream's credentials until the result is called, or they end. */
  watch(credentials: StreamCredentials): () => void {
    const now = performance.now()
    const fraction = (crypto.getRandomValues(new Uint16Array(1))[0] ?? 0) / 0xffff
    const dueAt = now + this.#intervalMs * (0.5 + fraction / 2)
    const watch: Watch = { ...credentials, dueAt, answeredAt: now }
    this.#watches.add(watch)
    this.#timer ??= setInterval(() => this.#tick(), Math.min(1_000, this.#intervalMs / 4))
    return () => this.#release(watch)
  }

  #release(watch: Watch): void {
    if (!this.#watches.delete(watch) || this.#watches.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #end(watch: Watch, end: CredentialsEnd): void {
    if (!this.#watches.has(watch)) return
    this.#release(watch)
    watch.onEnd(end)
  }

  #tick(): void {
    const now = performance.now()
    for (const watch of this.#watches) {
      if (hasExpired(watch.caller)) this.#end(watch, 'expired')
      else if (watch.dueAt <= now) {
        watch.dueAt = Number.POSITIVE_INFINITY // until it is checked
        this.#due.push(watch)
      }
    }
    while (this.#due.length > 0 && this.#checks < maxConcurrentChecks) void this.#checkDue()
  }

  /** One of the few workers: checks what is due, one after the other. */
  async #checkDue(): Promise<void> {
    this.#checks++
    for (let watch = this.#due.shift(); watch !== undefined; watch = this.#due.shift()) {
      if (this.#watches.has(watch)) await this.#check(watch)
    }
    this.#checks--
  }

  async #check(watch: Watch): Promise<void> {
    try {
      const caller = await withinTime(watch.identify())
      watch.answeredAt = performance.now()
      if (caller === null || !isSameOwner(caller, watch.caller)) return this.#end(watch, 'refused')
      watch.caller = caller
      watch.dueAt = watch.answeredAt + this.#intervalMs
    } catch (error) {
      this.#warn(error)
      const now = performance.now()
      if (now - watch.answeredAt > this.#intervalMs * maxUnansweredIntervals) return this.#end(watch, 'expired')
      watch.dueAt = now + this.#intervalMs / 4
    }
  }

  /** Once an interval for all streams. */
  #warn(error: unknown): void {
    const now = performance.now()
    if (now - this.#warnedAt < this.#intervalMs) return
    this.#warnedAt = now
    const reason = isVerbatimError(error) ? error.code : error instanceof Error ? error.name : typeof error
    this.#logger?.warn({ reason }, 'authenticate does not answer for open streams; trying again')
  }
}

function isSameOwner(one: Caller, other: Caller): boolean {
  return one.userId === other.userId && one.tenantId === other.tenantId
}

function withinTime<TValue>(answer: Promise<TValue>): Promise<TValue> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(errorOf('UNAVAILABLE')), checkTimeoutMs)
    void answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
