/**
 * How a process hears that somebody asked, through another process, to cancel a run it writes. A cancel through the writer's own
 * process needs no telling, and a writer that is dead needs none either: recovery finds the intent with the run.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import type { Logger } from '../../ports/logger.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
import { cancelReason } from './drive-run.ts'
import type { LiveRuns } from './live-runs.ts'

export interface CancelPollDeps {
  readonly runRepository: RunRepository
  readonly liveRuns: LiveRuns
  readonly logger: Logger
  readonly processId: string
  /** Between two looks, in milliseconds. */
  readonly cancelPollMs: number
}

/** Looks for intents to cancel until `signal` aborts; never rejects. Asks nothing while the process writes no run. */
export async function pollCancelRequests(deps: CancelPollDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(deps.cancelPollMs, signal).catch(() => {}) // an abort ends the loop
    if (signal.aborted || deps.liveRuns.size === 0) continue
    try {
      // Raced: a hung database must not keep this process from closing.
      const asked = await raceSignal(deps.runRepository.findCancelRequests(deps.processId), signal)
      for (const key of asked) deps.liveRuns.get(key)?.stop.abort(cancelReason)
    } catch {
      if (signal.aborted) return
      deps.logger.warn({}, 'It could not be looked for runs to cancel; trying again')
    }
  }
}
