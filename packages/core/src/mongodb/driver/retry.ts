import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { childController } from '../../contract/child-controller.ts'
import { contended, isTransient, isWriteConflict, toVerbatimError, unavailable } from './map-error.ts'

const firstDelayMs = 20
const maxDelayMs = 500
/** After a write conflict: the transaction that won it is over within one commit. */
const maxConflictDelayMs = 100

/**
 * How long one attempt may take, in milliseconds. The driver can wait for an answer for ever: it waits for a socket to drain that
 * closed between its checkout and the write (mongodb 7.9, seen in 4 of 4 kills of a mongod under load). A slow attempt may still
 * land; the next one then finds what it has stored.
 */
const usualAttemptMs = 2_000

/** The reason of an attempt that took too long. Shared: an error for each would cost more than the attempt. */
const tookTooLong = new DOMException('The attempt took too long', 'TimeoutError')

/** How long an attempt may take that reads all of a run or a session, in milliseconds. */
export const longAttemptMs = 60_000

/** How long a caller's request waits for the database before it fails with `UNAVAILABLE`, in milliseconds. */
const requestDeadlineMs = 4_500

/**
 * Runs `attempt` until it succeeds, fails for good, or `signal` aborts. The driver's own retries do not cover a killed
 * primary, so `attempt` must be safe to repeat: deterministic `_id`s, reads, or a transaction that recognises itself.
 *
 * @param attempt receives a signal that aborts when this attempt takes too long
 * @throws VerbatimError when the signal aborts before the database answered: `SESSION_BUSY` when other transactions have won every
 * attempt, so that nothing is stored; `UNAVAILABLE` otherwise
 */
export async function retryUntil<TResult>(
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<TResult>,
  { attemptMs = usualAttemptMs }: { attemptMs?: number } = {},
): Promise<TResult> {
  let lastError: unknown = signal.reason
  let mayHaveLanded = false
  for (let tries = 0; !signal.aborted; tries++) {
    const { controller, release } = childController(signal)
    const timer = setTimeout(() => controller.abort(tookTooLong), attemptMs)
    try {
      // Raced: with a hung server the driver waits long past any deadline.
      return await raceSignal(attempt(controller.signal), controller.signal)
    } catch (error) {
      if (signal.aborted && error === signal.reason) break
      if (error !== tookTooLong && !isTransient(error)) throw error
      lastError = error
    } finally {
      clearTimeout(timer)
      release()
    }
    const isConflict = isWriteConflict(lastError)
    mayHaveLanded ||= !isConflict
    const delayMs = jitter(tries, isConflict ? maxConflictDelayMs : maxDelayMs)
    await sleep(delayMs, signal).catch(() => {}) // an abort ends the loop, with the database's own error as the cause
  }
  throw isWriteConflict(lastError) && !mayHaveLanded ? contended(lastError) : unavailable(lastError)
}

/** Aborts when a caller has waited as long as one waits for the database. */
export function requestDeadline(): AbortSignal {
  return AbortSignal.timeout(requestDeadlineMs)
}

/** Aborts when no attempt of usual length fits the deadline of a request that began together with it. */
export function lastTimeToBegin(): AbortSignal {
  return AbortSignal.timeout(requestDeadlineMs - usualAttemptMs)
}

/** {@link retryUntil} for a caller that waits: answers or throws `UNAVAILABLE` within 5 s. */
export async function retryRequest<TResult>(
  attempt: (signal: AbortSignal) => Promise<TResult>,
  signal?: AbortSignal,
  deadline = requestDeadline(),
): Promise<TResult> {
  try {
    return await retryUntil(signal === undefined ? deadline : AbortSignal.any([signal, deadline]), attempt)
  } catch (error) {
    signal?.throwIfAborted()
    throw toVerbatimError(error)
  }
}

/**
 * One attempt, for a caller that tries again anyway, in a loop or by a timer.
 *
 * @param withinMs how long to wait for the answer
 * @throws VerbatimError `UNAVAILABLE` when the database is away, or does not answer in time
 */
export async function tryOnce<TResult>(
  attempt: () => Promise<TResult>,
  { withinMs = requestDeadlineMs }: { withinMs?: number } = {},
): Promise<TResult> {
  const deadline = AbortSignal.timeout(withinMs)
  try {
    return await raceSignal(attempt(), deadline)
  } catch (error) {
    throw error === deadline.reason ? unavailable(error) : toVerbatimError(error)
  }
}

/** Full jitter, see "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). */
function jitter(tries: number, atMostMs: number): number {
  const ceiling = Math.min(atMostMs, firstDelayMs * 2 ** tries)
  return ceiling * randomFraction()
}

function randomFraction(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32
}
