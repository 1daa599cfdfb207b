/**
 * When to come back after a failed attempt, and when not (promise P2 rests on coming back at the exact place, see follow-run.ts).
 * In: the failures of one follow or call, in a row. Out: a wait, or the failure itself when another attempt is useless.
 */
import type { VerbatimError } from '@verbatim/core'
import { backoffDelayMs } from './backoff.ts'
import type { RetryOptions } from './connection.ts'
import { isPassing, toVerbatimError } from './to-error.ts'
import { pause } from './wait.ts'

export interface Reconnect {
  /** To be called at every sign of progress: failures count from zero again. */
  progress(): void
  /** To be called when the server has accepted the token: the next refusal is a first one again. */
  accepted(): void
  /** The server's wish for the wait, from a `retry:` field; it takes the place of the base delay. */
  hint(retryMs: number): void
  /** True when the next attempt must ask for a new token. */
  readonly refreshToken: boolean
  /**
   * Waits until the next attempt is due.
   *
   * @throws VerbatimError `failure` itself when it is final; the signal's reason when it aborts
   */
  afterFailure(failure: VerbatimError, options: FailureOptions): Promise<void>
}

interface FailureOptions {
  readonly signal: AbortSignal
  /** False when another attempt is useless. */
  readonly isPassing: boolean
  /** Ends the wait when it settles. */
  readonly until?: Promise<unknown> | undefined
}

export function createReconnect(retry: RetryOptions): Reconnect {
  let failures = 0
  let refreshToken = false
  let baseDelayMs = retry.baseDelayMs
  return {
    progress() {
      failures = 0
      refreshToken = false
    },
    accepted() {
      refreshToken = false
    },
    hint(retryMs) {
      baseDelayMs = retryMs
    },
    get refreshToken() {
      return refreshToken
    },
    async afterFailure(failure, { signal, isPassing: passes, until }) {
      // A token may have run out: one more attempt, at once, with a new one.
      const isFirstRefusal = failure.code === 'UNAUTHENTICATED' && !refreshToken
      refreshToken = failure.code === 'UNAUTHENTICATED'
      if (isFirstRefusal) return
      failures += 1
      if (!passes || failures >= retry.maxAttempts) throw failure
      const atLeastMs = failure.data.retryAfterMs
      const delayMs = backoffDelayMs(failures - 1, { ...retry, baseDelayMs }, { atLeastMs })
      await pause(delayMs, { signal, wakes: atLeastMs === undefined, until })
    },
  }
}

/** A server that asks for a longer wait than this is not waited for: the caller should know now, in milliseconds. */
const maxAskedWaitMs = 30_000

/**
 * Makes a call that may be repeated safely until it answers or fails for good.
 *
 * @throws VerbatimError; the signal's reason when it aborts
 */
export async function retryCall<TResult>(
  call: () => Promise<TResult>,
  { retry, signal }: { retry: RetryOptions; signal: AbortSignal },
): Promise<TResult> {
  const reconnect = createReconnect({ ...retry, maxAttempts: retry.maxCallAttempts })
  for (;;) {
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      const failure = toVerbatimError(error)
      if (failure.code === 'UNAUTHENTICATED') throw failure // the call has asked for a new token itself
      const isSoon = (failure.data.retryAfterMs ?? 0) <= maxAskedWaitMs
      await reconnect.afterFailure(failure, { signal, isPassing: isPassing(failure) && isSoon })
    }
  }
}
