/**
 * Whether the process has more work than it can do in time. In: each start or retry, before anything of it is read or stored. Out: a place,
 * or `OVERLOADED`: what the process has taken on keeps its pace, and a caller that is refused knows at once (decision 48).
 */
import { errorOf } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { Clock } from '../ports/clock.ts'
import type { OverloadOptions } from '../ports/limit-options.ts'

export interface LoadGaugeParts {
  readonly options: OverloadOptions | false
  readonly clock: Clock
  /** How many runs this process drives. */
  readonly activeRuns: () => number
}

/** Between two looks at the event loop: one timer of the process, and none while it has nothing to do. */
const sampleMs = 50
/** The mean is over about so long, so that one long task is no overload. */
const windowMs = 1_000
/** A process with fewer runs is late because of other things, which no refusal makes better. */
const minRuns = 32
/** One owner's part of the places, so that a flood of one leaves some for the others. */
const ownerShare = 3 / 4

const retryAfterMs = { starts: 1_000, loop: 2_000 } as const

export class LoadGauge {
  readonly #parts: LoadGaugeParts
  /** Starts under way, by owner. */
  readonly #startingOf = new Map<string, number>()
  #starting = 0
  #delayMs = 0
  #isLate = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: LoadGaugeParts) {
    this.#parts = parts
  }

  /** A place for a start until it is stored; the answer gives it back. @throws VerbatimError `OVERLOADED` */
  enter({ tenantId, ownerId }: Owner): () => void {
    const { options, activeRuns } = this.#parts
    if (options === false) return () => {}
    const owner = JSON.stringify([tenantId, ownerId])
    const ofOwner = this.#startingOf.get(owner) ?? 0
    const isFull = this.#starting >= options.maxStarting || ofOwner >= options.maxStarting * ownerShare
    if (isFull) throw overloaded('starts')
    if (this.#isLate && activeRuns() >= minRuns) throw overloaded('loop')
    this.#starting++
    this.#startingOf.set(owner, ofOwner + 1)
    if (this.#timer === undefined) this.#timer = this.#sampleLater(options)
    return () => this.#leave(owner)
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
      this.#take(Math.max(0, clock.monotonicMs() - dueMs), options)
      const isBusy = this.#starting + activeRuns() > 0
      this.#timer = isBusy ? this.#sampleLater(options) : undefined
      if (!isBusy) this.#delayMs = 0
      if (!isBusy) this.#isLate = false
    }, sampleMs)
    return timer.unref()
  }

  /** A later sample stands for a longer time. Once late, the process takes starts again at half the delay, not at each good moment. */
  #take(lateMs: number, { maxLoopDelayMs }: OverloadOptions): void {
    const weight = 1 - Math.exp(-(sampleMs + lateMs) / windowMs)
    this.#delayMs += (lateMs - this.#delayMs) * weight
    this.#isLate = this.#delayMs > (this.#isLate ? maxLoopDelayMs / 2 : maxLoopDelayMs)
  }
}

function overloaded(kind: keyof typeof retryAfterMs): Error {
  return errorOf('OVERLOADED', { data: { kind, retryAfterMs: retryAfterMs[kind] } })
}
