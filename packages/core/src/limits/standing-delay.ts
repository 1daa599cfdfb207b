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

export class StandingDelay {
  readonly #options: StandingDelayOptions
  /** What the work takes alone, in the mean: a distant database is no queue (as the base delay of LEDBAT, RFC 6817). */
  #baseMs = 0
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
    this.#baseMs += (Math.min(delayMs, maxBaseMs) - this.#baseMs) / 8
    this.take(delayMs, nowMs)
  }
}
