import type { VerbatimError } from '../../contract/errors.ts'
import { isRetryable } from './map-provider-error.ts'

const baseMs = 500
const maxJitterMs = 16_000
/** A provider that asks for a longer wait than this is not waited for: the run would time out first. */
const maxRetryDelayMs = 45_000

/**
 * How long to wait before the retry number `attempt`, in milliseconds: what the provider asks for, and a random part that
 * doubles its span each time (full jitter). Undefined when waiting does not help.
 */
export function retryDelayMs(error: VerbatimError, attempt: number, random: () => number): number | undefined {
  if (!isRetryable(error)) return undefined
  const jitterMs = random() * Math.min(maxJitterMs, baseMs * 2 ** (attempt - 1))
  const delayMs = Math.round((error.data.retryAfterMs ?? 0) + jitterMs)
  return delayMs > maxRetryDelayMs ? undefined : delayMs
}

/** A random number from 0 to 1. */
export function randomFraction(): number {
  const [bits = 0] = crypto.getRandomValues(new Uint32Array(1))
  return bits / 2 ** 32
}
