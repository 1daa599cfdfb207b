/**
 * Reads of run logs wait here for their turn: a crowd of readers of one run, each a quarter of a megabyte behind, would take every
 * connection to the database, and with them the starts of others. The runs take turns.
 */
import { Line } from '../../async/line.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { unavailable } from '../driver/map-error.ts'
import { lastTimeToBegin, retryRequest } from '../driver/retry.ts'

/** A third of the driver's connections, as many as transactions may take. */
const maxActive = 32
const maxActivePerRun = 8

/** {@link retryRequest} when it is the run's turn; answers or throws `UNAVAILABLE` in time for a caller that waits. */
export type ReadInTurn = <TResult>(
  key: RunKey,
  attempt: () => Promise<TResult>,
  signal: AbortSignal | undefined,
) => Promise<TResult>

export function createReadTurns(): ReadInTurn {
  const line = new Line({ maxActive, maxActivePerKey: maxActivePerRun })
  return async (key, attempt, signal) => {
    const begin = lastTimeToBegin()
    try {
      await line.enter(key, signal === undefined ? begin : AbortSignal.any([signal, begin]))
    } catch (error) {
      signal?.throwIfAborted()
      throw unavailable(error)
    }
    try {
      return await retryRequest(attempt, signal)
    } finally {
      line.leave(key)
    }
  }
}
