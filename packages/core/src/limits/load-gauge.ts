/**
 * Whether the process has more work than it can do in time. In: each start or retry, before anything of it is read or stored. Out: a place,
 * or `OVERLOADED`: what the process has taken on keeps its pace, and a caller that is refused knows at once (decisions 48 and 49).
 */
import { errorOf } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { Clock } from '../ports/clock.ts'
import type { OverloadOptions } from '../ports/limit-options.ts'
import { StandingDelay } from './standing-delay.ts'

export interface LoadGaugeParts {
  readonly options: OverloadOptions | false
  readonly clock: Clock
  /** How many runs this process drives. */
  readonly activeRuns: () => number
}

/** A place of a start that is under way. */
export interface StartPlace {
  /** The start is stored. */
  stored(): void
  /** The start is over, whatever became of it. */
  leave(): void
}

/** Between two looks at the event loop: one timer of the process, and none while it has nothing to do. */
const sampleMs = 50
/** The mean is over about so long, so that one long task is no overload. */
const windowMs = 1_000
/** A process with fewer runs is late because of other things, which no refusal makes better. */
const minRuns = 32
/** One owner's part of `maxStarting`, so that a flood of one leaves some for the others. */
const ownerShare = 3 / 4

/** Owners whose starts may be under way, at first: what a small database stores in half a second. */
const firstPlaces = 64
/** Fewer are never left, and so many there are after an overload: the next runs come one after another, and each shows what it costs. */
const minPlaces = 16
/** A start that takes longer comes late: its first token is a few commits later still. */
const maxStartMs = 500

/** A token waits for the commit under way and for its own, and some of these take twice as long as the quickest. */
const commitShare = 1 / 4
const loopShare = 1 / 2
/** How long each commit must be late. */
const commitsWindowMs = 500
/** A commit of so few runs is one that nothing else holds up. */
const maxEntriesAlone = 4

/** How soon a refused caller may come again, in milliseconds: a queue passes sooner than an overload. */
const minRetryMs = { starts: 1_000, loop: 2_000, commits: 2_000 } as const
/** A caller that is to wait for longer has gone. */
const maxRetryMs = 10_000

const noPlace: StartPlace = { stored() {}, leave() {} }

export class LoadGauge {
  readonly #parts: LoadGaugeParts
  readonly #commits: StandingDelay
  /** Starts under way, by owner. */
  readonly #startingOf = new Map<string, number>()
  #starting = 0
  #places = firstPlaces
  /** When the caller that was refused last may come again. */
  #nextRetryMs = 0
  #delayMs = 0
  #isLate = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: LoadGaugeParts) {
    this.#parts = parts
    const maxMs = parts.options === false ? Infinity : parts.options.maxDelayMs * commitShare
    this.#commits = new StandingDelay({ maxMs, intervalMs: commitsWindowMs })
  }

  /** A place for a start until it is stored. @throws VerbatimError `OVERLOADED` */
  enter({ tenantId, ownerId }: Owner): StartPlace {
    const { options, clock } = this.#parts
    if (options === false) return noPlace
    const owner = JSON.stringify([tenantId, ownerId])
    const ofOwner = this.#startingOf.get(owner) ?? 0
    this.#requireTime()
    const isFull = this.#starting >= options.maxStarting || ofOwner >= options.maxStarting * ownerShare
    // Owners take turns in the line to the database, so a second start of one owner delays none of the others.
    const isCrowded = ofOwner === 0 && this.#startingOf.size >= this.#places
    if (isFull || isCrowded) throw this.#refusal('starts')
    this.#starting++
    this.#startingOf.set(owner, ofOwner + 1)
    if (this.#timer === undefined) this.#timer = this.#sampleLater(options)
    const beganMs = clock.monotonicMs()
    return {
      // Others of the same owner may wait for their own session, which says nothing about the process.
      stored: () => void (ofOwner === 0 && this.#adapt(clock.monotonicMs() - beganMs)),
      leave: () => this.#leave(owner),
    }
  }

  /** A commit of the log is over, in which so many runs had events. */
  committed({ tookMs, runs }: { readonly tookMs: number; readonly runs: number }): void {
    const nowMs = this.#parts.clock.monotonicMs()
    if (runs <= maxEntriesAlone) this.#commits.takeAlone(tookMs, nowMs)
    else this.#commits.take(tookMs, nowMs)
  }

  #requireTime(): void {
    if (this.#parts.activeRuns() < minRuns || !(this.#isLate || this.#commits.isStanding)) return
    this.#places = minPlaces
    throw this.#refusal(this.#isLate ? 'loop' : 'commits')
  }

  /**
   * Each caller that is refused may come again a little later than the one before, as its turn may be. If a thousand came back together each
   * second, their refusals would take a third of a core from the answers.
   */
  #refusal(kind: keyof typeof minRetryMs): Error {
    const nowMs = this.#parts.clock.monotonicMs()
    const nextMs = this.#nextRetryMs + maxStartMs / this.#places
    this.#nextRetryMs = Math.min(nowMs + maxRetryMs, Math.max(nowMs + minRetryMs[kind], nextMs))
    return errorOf('OVERLOADED', { data: { kind, retryAfterMs: Math.ceil(this.#nextRetryMs - nowMs) } })
  }

  /** As TCP finds the pace of a network: more places while starts are in time and need them, fewer while they are late. */
  #adapt(tookMs: number): void {
    if (tookMs > maxStartMs) this.#places = Math.max(minPlaces, this.#places - 1)
    else if (this.#startingOf.size * 2 >= this.#places) this.#places++
  }

  #leave(owner: string): void {
    const left = (this.#startingOf.get(owner) ?? 1) - 1
    if (left === 0) this.#startingOf.delete(owner)
    else this.#startingOf.set(owner, left)
    this.#starting--
  }

  #sampleLater(options: OverloadOptions): NodeJS.Timeout {
    const { clock, activeRuns } = this.#parts
    const dueMs = clock.monotonicMs() + sampleMs
    const timer = setTimeout(() => {
      this.#take(Math.max(0, clock.monotonicMs() - dueMs), options.maxDelayMs * loopShare)
      const isBusy = this.#starting + activeRuns() > 0
      this.#timer = isBusy ? this.#sampleLater(options) : undefined
      if (!isBusy) this.#delayMs = 0
      if (!isBusy) this.#isLate = false
    }, sampleMs)
    return timer.unref()
  }

  /** A later sample stands for a longer time. Once late, the process takes starts again at half the delay, not at each good moment. */
  #take(lateMs: number, maxMs: number): void {
    const weight = 1 - Math.exp(-(sampleMs + lateMs) / windowMs)
    this.#delayMs += (lateMs - this.#delayMs) * weight
    this.#isLate = this.#delayMs > (this.#isLate ? maxMs / 2 : maxMs)
  }
}
