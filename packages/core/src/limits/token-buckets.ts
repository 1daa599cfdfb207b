/**
 * Rates: a token bucket for each key, kept as one number, the time at which the bucket is full again (the generic cell rate algorithm:
 * ITU-T I.371, virtual scheduling). A bucket holds a minute's worth, and is refilled evenly.
 */
const minuteMs = 60_000

export class TokenBuckets {
  readonly #msPerToken: number
  readonly #maxKeys: number
  /** When each key's bucket is full again, the key that took last at the end. A full bucket needs no entry. */
  readonly #fullAt = new Map<string, number>()

  /** @param options.maxKeys past this many keys that have taken within a minute, the one that has not taken for longest is forgotten */
  constructor({ perMinute, maxKeys = 10_000 }: { readonly perMinute: number; readonly maxKeys?: number }) {
    this.#msPerToken = minuteMs / perMinute
    this.#maxKeys = maxKeys
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#fullAt.size
  }

  /**
   * How long to wait until `tokens` can be taken, in milliseconds; 0 when they can. More than a bucket holds can be taken from a full
   * one, and the next waits until that is made up for.
   */
  waitMs(key: string, tokens: number, nowMs: number): number {
    const emptiedMs = Math.max(0, (this.#fullAt.get(key) ?? 0) - nowMs)
    const roomMs = Math.max(0, minuteMs - tokens * this.#msPerToken)
    return Math.max(0, Math.ceil(emptiedMs - roomMs))
  }

  take(key: string, tokens: number, nowMs: number): void {
    const fullAt = Math.max(nowMs, this.#fullAt.get(key) ?? 0) + tokens * this.#msPerToken
    this.#fullAt.delete(key)
    this.#forgetFull(nowMs)
    this.#fullAt.set(key, fullAt)
  }

  /** Undoes {@link take}. */
  refund(key: string, tokens: number): void {
    const fullAt = this.#fullAt.get(key)
    if (fullAt !== undefined) this.#fullAt.set(key, fullAt - tokens * this.#msPerToken)
  }

  /** The bound holds whatever callers do: a flood of keys costs no more memory. */
  #forgetFull(nowMs: number): void {
    for (const [key, fullAt] of this.#fullAt) {
      if (fullAt > nowMs && this.#fullAt.size < this.#maxKeys) return
      this.#fullAt.delete(key)
    }
  }
}
