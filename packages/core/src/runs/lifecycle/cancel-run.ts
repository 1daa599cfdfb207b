/** Cancel: a durable intent, so it holds whichever process writes the run and whatever dies; then a bounded wait for the end. */
import { raceSignal } from '../../async/race-signal.ts'
import { requireFound } from '../../contract/errors.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import { isTerminalStatus } from '../../contract/run.ts'
import type { CancelRunResult } from '../../contract/run.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { EngineContext } from '../engine-context.ts'
import { followRun } from '../log/follow-run.ts'

/** @throws VerbatimError `RUN_NOT_FOUND`, `UNAVAILABLE` */
export async function cancelRun(context: EngineContext, owner: Owner, runId: RunId): Promise<CancelRunResult> {
  const { runRepository, eventLog } = context.ports
  const run = requireFound(await runRepository.requestCancel(owner, runId), 'RUN_NOT_FOUND')
  if (run.status === 'queued') return await cancelQueued(context, owner, runId)
  if (isTerminalStatus(run.status)) return { runId, status: run.status, finalSeq: run.lastSeq, hadEnded: true }
  const signal = AbortSignal.timeout(context.options.cancelWaitMs)
  try {
    await stopAndWait(context, eventLog.keyOf(owner, runId), signal)
  } catch (error) {
    if (!signal.aborted) throw error // the wait is over: the intent stands, and the answer says how far it got
  }
  const ended = (await runRepository.getRun(owner, runId)) ?? run
  return { runId, status: ended.status, finalSeq: ended.lastSeq, hadEnded: false }
}

/** No process drives a queued run, so it ends at once. */
async function cancelQueued(context: EngineContext, owner: Owner, runId: RunId): Promise<CancelRunResult> {
  const { ports, tails } = context
  const cancelled = await ports.runRepository.cancelQueuedRun(owner, runId)
  if (cancelled === undefined) return await cancelRun(context, owner, runId) // it has begun meanwhile, or ended
  tails.hint(ports.eventLog.keyOf(owner, runId))
  return { runId, status: cancelled.status, finalSeq: cancelled.lastSeq, hadEnded: false }
}

/**
 * Stops the run if this process drives it, and waits for its end; another process reads the stored intent by itself, see
 * poll-cancel-requests.ts. @throws the signal's reason when it aborts
 */
export async function stopAndWait(context: EngineContext, key: RunKey, signal: AbortSignal): Promise<void> {
  const live = context.liveRuns.cancel(key)
  if (live !== undefined) return void (await raceSignal(live.done, signal))
  for await (const _batch of followRun(context, key, { after: 0, signal })) continue
}
