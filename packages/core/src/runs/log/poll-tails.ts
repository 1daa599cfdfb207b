/**
 * Looks into the log for the followed runs that other processes write: one read for all of them. Where there are hints it is the safety
 * net, and looks for a run that is silent for `pollMs`. Where there are none it is how followers learn of the runs at all: it looks every
 * `livePollMs` for a run that moves, and ever less often for one that does not.
 */
import { sleep } from '../../async/sleep.ts'
import type { EventLog } from '../../ports/event-log.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
import type { RunTail, RunTails } from './run-tail.ts'

export interface TailPollOptions {
  readonly tails: RunTails
  readonly eventLog: Pick<EventLog, 'readNext'>
  readonly runRepository: Pick<RunRepository, 'findActive'>
  /** The longest pause between two looks for a run, in milliseconds. */
  readonly pollMs: number
  /** The shortest one, where there are no hints. */
  readonly livePollMs: number
  /** True while hints at the run come. */
  readonly hasHints: (tail: RunTail) => boolean
  /** Aborts when the engine closes. */
  readonly stopping: AbortSignal
}

/** By how much the pause of a run that does not move grows: it is then about a fifth of the time that the run has been silent. */
const slowing = 1.25

/** When the poll looks for a run again. */
interface Pace {
  /** The tail's newest seq at that time. */
  seq: number
  pauseMs: number
  dueAtMs: number
  /** When to read the run's state. */
  checkAtMs: number
}

export class TailPolls {
  readonly #options: TailPollOptions
  readonly #paces = new WeakMap<RunTail, Pace>()
  #polling: Promise<void> | undefined

  constructor(options: TailPollOptions) {
    this.#options = options
  }

  /** Begins to look, unless it does already; it ends by itself when no follower waits. */
  start(): void {
    if (!this.#options.stopping.aborted) this.#polling ??= this.#poll()
  }

  /** Resolves when the poll has ended; abort the signal of the options first. */
  async closed(): Promise<void> {
    await this.#polling
  }

  /** Never rejects. */
  async #poll(): Promise<void> {
    const { tails, stopping } = this.#options
    let tookMs = 0
    do {
      // At most half of the time passes in looks, however long they take.
      await sleep(Math.max(this.#tickMs, tookMs), stopping).catch(() => {}) // an abort ends the loop
      const startedAtMs = performance.now()
      // The database is away: the next look tries again, and followers keep what they have.
      if (!stopping.aborted) await this.#look().catch(() => {})
      tookMs = performance.now() - startedAtMs
    } while (!stopping.aborted && tails.waiting().length > 0)
    this.#polling = undefined
  }

  get #tickMs(): number {
    const { tails, pollMs, livePollMs, hasHints } = this.#options
    return tails.waiting().every(hasHints) ? pollMs / 4 : Math.min(livePollMs, pollMs)
  }

  async #look(): Promise<void> {
    const { tails, eventLog, hasHints } = this.#options
    const nowMs = performance.now()
    // With hints, runs that are not stored yet are asked for together, see awaited-runs.ts.
    const waiting = tails.waiting().filter((tail) => !hasHints(tail) || !tail.isAwaited)
    const due = waiting.filter((tail) => this.#isDue(tail, nowMs))
    if (due.length === 0) return
    const grown = await eventLog.readNext(due.map((tail) => ({ key: tail.key, after: tail.lastSeq })))
    for (const { key, entry } of grown) await tails.grow(key, entry)
    const hasMoved = (tail: RunTail) => tail.lastSeq !== this.#paces.get(tail)?.seq
    const quiet = due.filter((tail) => !hasMoved(tail))
    for (const tail of due) this.#paces.set(tail, this.#nextPace(tail, { hasMoved: hasMoved(tail) }))
    await this.#checkStates(quiet)
  }

  /** A tail that has moved by itself is not silent. */
  #isDue(tail: RunTail, nowMs: number): boolean {
    const pace = this.#paces.get(tail)
    if (pace?.seq === tail.lastSeq) return nowMs >= pace.dueAtMs
    this.#paces.set(tail, this.#nextPace(tail, { hasMoved: true }))
    return pace === undefined && !this.#options.hasHints(tail)
  }

  #nextPace(tail: RunTail, { hasMoved }: { hasMoved: boolean }): Pace {
    const { pollMs, livePollMs, hasHints } = this.#options
    const before = hasMoved ? undefined : this.#paces.get(tail)
    const pauseMs = hasHints(tail)
      ? pollMs
      : Math.min(pollMs, before === undefined ? livePollMs : before.pauseMs * slowing)
    const nowMs = performance.now()
    return { seq: tail.lastSeq, pauseMs, dueAtMs: nowMs + pauseMs, checkAtMs: before?.checkAtMs ?? nowMs + pollMs }
  }

  /** The log of a run that has ended may be an archive by now, and the run deleted: the tail's own read tells its followers. */
  async #checkStates(quiet: readonly RunTail[]): Promise<void> {
    const { runRepository, pollMs } = this.#options
    const nowMs = performance.now()
    const paces = quiet.map((tail) => ({ tail, pace: this.#paces.get(tail) }))
    const due = paces.filter(({ tail, pace }) => !tail.isAwaited && pace !== undefined && nowMs >= pace.checkAtMs)
    if (due.length === 0) return
    for (const { pace } of due) if (pace !== undefined) pace.checkAtMs = nowMs + pollMs
    const active = new Set(await runRepository.findActive(due.map(({ tail }) => tail.key)))
    for (const { tail } of due) if (!active.has(tail.key)) tail.hint()
  }
}
