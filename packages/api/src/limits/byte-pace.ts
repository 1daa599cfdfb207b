/**
 * How fast each caller's bytes may come and go: what a call costs the event loop grows with its body and its answer. A caller ahead of the
 * pace is not refused, its next call begins later. The algorithm is GCRA (ITU-T I.371, annex A), with bytes for cells.
 */
import { VerbatimError } from '@verbatim/core'

interface BytePaceOptions {
  /** Bytes of bodies and whole answers that one caller may have a second, in the long run. */
  readonly maxBytesPerSecond: number
  /** How far ahead a caller may be, in milliseconds. @default 1,000, what a page loads at once, or one largest batch */
  readonly burstMs?: number
}

/** What a call counts at least: it costs the event loop and the database about as much as so many bytes. */
export const leastCallBytes = 32 * 1024

/** The pace of one caller, for as long as its call goes on. */
export interface CallerPace {
  /** Counts bytes of this caller. */
  charge(bytes: number): void
  /** Resolves when the caller is no further ahead than it may be. @throws VerbatimError `UNAVAILABLE` when the caller has left */
  keep(): Promise<void>
}

/** A caller that is on time again is forgotten when there are more than so many. */
const maxCallers = 10_000

export class BytePace {
  readonly #bytesPerMs: number
  readonly #burstMs: number
  /** When each caller's bytes of before would be due at the pace. */
  readonly #dueMs = new Map<string, number>()

  constructor({ maxBytesPerSecond, burstMs = 1_000 }: BytePaceOptions) {
    this.#burstMs = burstMs
    this.#bytesPerMs = maxBytesPerSecond / 1_000
  }

  /** Counts what `caller` sent or receives. */
  charge(caller: string, bytes: number): void {
    const nowMs = performance.now()
    if (this.#dueMs.size >= maxCallers && !this.#dueMs.has(caller)) this.#forgetIdle(nowMs)
    this.#dueMs.set(caller, Math.max(nowMs, this.#dueMs.get(caller) ?? 0) + bytes / this.#bytesPerMs)
  }

  /** Resolves when the caller is no further ahead than it may be. @throws the signal's reason */
  async keep(caller: string, signal: AbortSignal): Promise<void> {
    const waitMs = (this.#dueMs.get(caller) ?? 0) - this.#burstMs - performance.now()
    if (waitMs > 0) await wait(waitMs, signal)
  }

  /** The pace of one call: `signal` says when its caller leaves. */
  of(caller: string, signal: AbortSignal): CallerPace {
    return {
      charge: (bytes) => this.charge(caller, bytes),
      keep: async () => {
        if (!signal.aborted) await this.keep(caller, signal).catch(() => {})
        if (signal.aborted) throw new VerbatimError('UNAVAILABLE', 'The caller has left')
      },
    }
  }

  #forgetIdle(nowMs: number): void {
    for (const [caller, dueMs] of this.#dueMs) if (dueMs <= nowMs) this.#dueMs.delete(caller)
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', leave)
      resolve()
    }, ms)
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave, { once: true })
  })
}
