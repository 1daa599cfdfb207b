import { VerbatimError } from '@verbatim/core'
import { KeyedLimit } from './keyed-limit.ts'

/** What the calls of one batch share: how many run at once, and how many characters their answers may have together. */
export interface BatchLimits {
  readonly maxBatchConcurrency: number
  readonly maxBatchAnswerBytes: number
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
  readonly #limit: KeyedLimit
  readonly #maxBytes: number
  #bytes = 0

  constructor({ maxBatchConcurrency, maxBatchAnswerBytes }: BatchLimits) {
    const refuse = () => this.#overspent()
    this.#limit = new KeyedLimit({ maxAtOnce: maxBatchConcurrency, maxWaiting: Number.POSITIVE_INFINITY, refuse })
    this.#maxBytes = maxBatchAnswerBytes
  }

  /** Runs one call of the batch. @throws VerbatimError `RATE_LIMITED` when the budget does not suffice */
  async run<TOutcome extends Outcome>(type: string, call: () => Promise<TOutcome>): Promise<TOutcome> {
    return await this.#limit.run('', async () => {
      if (this.#bytes >= this.#maxBytes) throw this.#overspent()
      const outcome = await call()
      if (!outcome.ok) return outcome
      const bytes = Buffer.byteLength(JSON.stringify(outcome.data) ?? '')
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
