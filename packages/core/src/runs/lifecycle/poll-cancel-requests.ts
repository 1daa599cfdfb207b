/**
 * How a process learns that a cancel request for a run it writes arrived at another process. It knows of its own requests without
 * this, and a dead writer needs no message: recovery finds the stored intent with the run.
 */
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import type { EngineContext } from '../engine-context.ts'

/** Polls until `signal` aborts; never rejects. Asks nothing while the process writes no run. */
export async function pollCancelRequests(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { ports, options, liveRuns, processId } = context
  const step = async () => {
    if (liveRuns.size === 0) return
    // Raced: a hung database must not keep this process from closing.
    const requested = await raceSignal(ports.runRepository.findCancelRequests(processId), signal)
    for (const key of requested) liveRuns.cancel(key)
  }
  const { logger } = ports
  await poll(step, { pauseMs: options.cancelPollMs, signal, logger, name: 'Polling for cancel requests' })
}
