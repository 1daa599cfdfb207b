import type { Clock } from '../ports/clock.ts'

/** The machine's clock: the one place that reads it. */
export const systemClock: Clock = Object.freeze({
  now: () => new Date(),
  monotonicMs: () => performance.now(),
})
