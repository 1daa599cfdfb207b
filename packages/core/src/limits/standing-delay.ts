/**
 * Tells a queue that stands from one that passes. Each burst makes a queue that is soon empty again. Where even the shortest delay of a while
 * is too long, work comes faster than it is done, and more of it makes all of it later (CoDel, RFC 8289).
 */

export interface StandingDelayOptions {
  /** How long the shortest delay may be, over what the work takes alone, in milliseconds. */
  readonly maxMs: number
  /** How long a while is, in milliseconds. */
  readonly intervalMs: number
}

/** No database and no network takes longer for work that is alone; what does is a pause of the database. */
const maxBaseMs = 250

/** How slowly the base follows what becomes slower, as it does when a primary in another region takes over. */
const followShare = 1 / 4_096

export class StandingDelay {
  readonly #options: StandingDelayOptions
  /** The shortest that the work takes alone: a distant database is no queue (the base delay of LEDBAT, RFC 6817). */
  #baseMs = maxBaseMs
  #tooLongSinceMs: number | undefined
  #isStanding = false

  constructor(options: StandingDelayOptions) {
    this.#options = options
  }

  get isStanding(): boolean {
    return this.#isStanding
  }

  /** Once a queue stands, it has passed when a delay is half as long: at the bound it would come and go all the time. */
  take(delayMs: number, nowMs: number): void {
    const { maxMs, intervalMs } = this.#options
    const isTooLong = delayMs - this.#baseMs > (this.#isStanding ? maxMs / 2 : maxMs)
    this.#tooLongSinceMs = isTooLong ? (this.#tooLongSinceMs ?? nowMs) : undefined
    this.#isStanding = this.#tooLongSinceMs !== undefined && nowMs - this.#tooLongSinceMs >= intervalMs
  }

  /** The same of work that is alone. */
  takeAlone(delayMs: number, nowMs: number): void {
    const overMs = Math.min(delayMs, maxBaseMs) - this.#baseMs
    this.#baseMs += overMs < 0 ? overMs : overMs * followShare
    this.take(delayMs, nowMs)
  }
}
