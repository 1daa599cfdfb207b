/** Time, which tests control. */
export interface Clock {
  /** Now, for timestamps that are stored and shown. */
  now(): Date
  /** Milliseconds that never go back, for durations and deadlines. */
  monotonicMs(): number
}
