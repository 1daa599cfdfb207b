import { VerbatimError } from '@verbatim/core'
import { leastCallBytes } from './byte-pace.ts'
import type { CallerPace } from './byte-pace.ts'
import type { KeyedLimit } from './keyed-limit.ts'

export interface BatchLimits {
  readonly caller: string
  /**
   * The calls of all batches of one caller, in the order in which they came: batches that went on side by side would all be held in
   * memory till the last of them has its end.
   */
  readonly line: KeyedLimit
  /** The reads of one caller, in batches and alone. */
  readonly reads: KeyedLimit
  /** Bytes of the answers of the batch. */
  readonly maxBatchAnswerBytes: number
  /** Each call of the batch keeps it, as a call alone does. */
  readonly pace: CallerPace
}

interface Outcome {
  readonly ok: boolean
  readonly data?: unknown
}

/**
 * The budget of one batch. A call that comes after it is spent fails before it does anything. A query whose answer is over what is
 * left fails too, so the batch's answer is no larger than the budget, or than its first answer. A mutation keeps its answer: it has
 * happened, and it says no more than its body did.
 */
export class BatchBudget {
  readonly #caller: string
  readonly #line: KeyedLimit
  readonly #reads: KeyedLimit
  readonly #maxBytes: number
  readonly #pace: CallerPace
  #bytes = 0
  #calls = 0

  constructor({ caller, line, reads, maxBatchAnswerBytes, pace }: BatchLimits) {
    this.#caller = caller
    this.#line = line
    this.#reads = reads
    this.#maxBytes = maxBatchAnswerBytes
    this.#pace = pace
  }

  /** Runs one call of the batch. @throws VerbatimError `RATE_LIMITED` when the budget does not suffice; `UNAVAILABLE` when the caller has left */
  async run<TOutcome extends Outcome>(type: string, call: () => Promise<TOutcome>): Promise<TOutcome> {
    return await this.#line.run(this.#caller, async () => {
      if (this.#bytes >= this.#maxBytes) throw this.#overspent()
      await this.#pace.keep()
      const outcome = await (type === 'query' ? this.#reads.run(this.#caller, call) : call())
      const bytes = outcome.ok ? Buffer.byteLength(JSON.stringify(outcome.data) ?? '') : 0
      // The batch has counted as one call when it came.
      this.#pace.charge(this.#calls++ === 0 ? bytes : Math.max(bytes, leastCallBytes))
      if (!outcome.ok) return outcome
      const isFirst = this.#bytes === 0
      if (type !== 'mutation' && !isFirst && this.#bytes + bytes > this.#maxBytes) throw this.#overspent()
      this.#bytes += bytes
      return outcome
    })
  }

  #overspent(): VerbatimError {
    const message = `The answers of one batch have at most ${this.#maxBytes} bytes; make this call in another batch`
    return new VerbatimError('RATE_LIMITED', message, { data: { maxBytes: this.#maxBytes, retryAfterMs: 0 } })
  }
}
