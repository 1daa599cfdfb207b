/** Cancel: a durable intent, so it holds whichever process writes the run and whatever dies; then a bounded wait for the end. */
import { raceSignal } from '../../async/race-signal.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import { isTerminalStatus } from '../../contract/run.ts'
import type { CancelRunResult } from '../../contract/run.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
import { cancelReason } from './drive-run.ts'
import type { FollowDeps } from '../log/follow-run.ts'
import { followRun } from '../log/follow-run.ts'
import type { LiveRuns } from './live-runs.ts'
import type { Turns } from './turns.ts'

export interface CancelDeps extends FollowDeps {
  readonly runRepository: RunRepository
  readonly liveRuns: LiveRuns
  readonly turns: Turns
  /** How long the answer waits for the run's end, in milliseconds. */
  readonly cancelWaitMs: number
}

/** @throws VerbatimError `RUN_NOT_FOUND`, `UNAVAILABLE` */
export async function cancelRun(deps: CancelDeps, owner: Owner, runId: RunId): Promise<CancelRunResult> {
  const run = await deps.runRepository.requestCancel(owner, runId)
  if (run === undefined) throw new VerbatimError('RUN_NOT_FOUND')
  if (run.status === 'queued') return await cancelQueued(deps, owner, runId)
  if (isTerminalStatus(run.status)) return { runId, status: run.status, finalSeq: run.lastSeq, hadEnded: true }
  const key = deps.log.keyOf(owner, runId)
  const signal = AbortSignal.timeout(deps.cancelWaitMs)
  const live = deps.liveRuns.get(key)
  live?.stop.abort(cancelReason)
  try {
    await (live === undefined ? waitForEnd(deps, key, signal) : raceSignal(live.done, signal))
  } catch (error) {
    if (!signal.aborted) throw error // the wait is over: the intent stands, and the answer says how far it got
  }
  const ended = (await deps.runRepository.getRun(owner, runId)) ?? run
  return { runId, status: ended.status, finalSeq: ended.lastSeq, hadEnded: false }
}

/** A run that waits has nobody to stop, so it ends here and now. */
async function cancelQueued(deps: CancelDeps, owner: Owner, runId: RunId): Promise<CancelRunResult> {
  const cancelled = await deps.runRepository.cancelQueuedRun(owner, runId, deps.turns.offer())
  if (cancelled === undefined) return await cancelRun(deps, owner, runId) // it has begun meanwhile, or ended
  deps.tails.hint(deps.log.keyOf(owner, runId))
  deps.turns.begin(cancelled.next)
  return { runId, status: cancelled.run.status, finalSeq: cancelled.run.lastSeq, hadEnded: false }
}

/** The process that writes the run hears of the intent by itself, see poll-cancel-requests.ts. */
export async function waitForEnd(deps: FollowDeps, key: RunKey, signal: AbortSignal): Promise<void> {
  for await (const _batch of followRun(deps, key, { after: 0, signal })) continue
}
