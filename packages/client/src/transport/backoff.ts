/** How often and how patiently a call or a stream is tried again. */
export interface BackoffOptions {
  /** The first wait is a random time up to this, in milliseconds; it doubles with each attempt. @default 250 */
  readonly baseDelayMs: number
  /** No wait is longer than this, but for a longer one that the server asks for, in milliseconds. @default 15_000 */
  readonly maxDelayMs: number
}

export interface DelayHints {
  /** The wait that the server asked for; the random part comes on top, so that its clients do not all come back at once. */
  readonly atLeastMs?: number | undefined
  /** From 0 to 1. */
  readonly random?: () => number
}

/** The wait before attempt `attempt` (0 is the first repetition), in milliseconds: full jitter under a doubling ceiling. */
export function backoffDelayMs(attempt: number, backoff: BackoffOptions, hints: DelayHints = {}): number {
  const { atLeastMs = 0, random = randomFraction } = hints
  const ceiling = Math.min(backoff.maxDelayMs, backoff.baseDelayMs * 2 ** Math.min(attempt, 40))
  return atLeastMs + random() * ceiling
}

/** A number from 0 up to, but not including, 1. */
function randomFraction(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32
}
