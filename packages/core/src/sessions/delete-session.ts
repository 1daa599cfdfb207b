/**
 * Deletion: a durable mark, from which on nothing is started or stored in the session; its run ends as a cancelled one does,
 * whichever process makes it; then everything is removed. What this call does not come to is done by `purge-sessions.ts`.
 */
import { raceSignal } from '../async/race-signal.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { DeleteSessionResult } from '../contract/session.ts'
import type { DeletionRepository, Tombstone } from '../ports/deletion-repository.ts'
import type { RunKey } from '../ports/event-log.ts'
import { waitForEnd } from '../runs/lifecycle/cancel-run.ts'
import { cancelReason } from '../runs/lifecycle/drive-run.ts'
import type { FollowDeps } from '../runs/log/follow-run.ts'
import type { LiveRuns } from '../runs/lifecycle/live-runs.ts'

export interface DeleteDeps extends FollowDeps {
  readonly deletionRepository: DeletionRepository
  readonly liveRuns: LiveRuns
  /** How long the answer waits for the run's end and the removal, in milliseconds. */
  readonly deleteWaitMs: number
  readonly lateWriteGraceMs: number
  /** Ends every wait when it aborts. */
  readonly stopping: AbortSignal
}

/** @throws VerbatimError `SESSION_NOT_FOUND`, `UNAVAILABLE` */
export async function deleteSession(
  deps: DeleteDeps,
  owner: Owner,
  { sessionId, signal = deps.stopping }: { sessionId: SessionId; signal?: AbortSignal | undefined },
): Promise<DeleteSessionResult> {
  const marked = await deps.deletionRepository.storeTombstone(owner, sessionId)
  if (marked === undefined) throw new VerbatimError('SESSION_NOT_FOUND')
  for (const key of marked.stopped) {
    deps.liveRuns.get(key)?.stop.abort(cancelReason)
    deps.tails.hint(key)
  }
  const wait = AbortSignal.any([signal, deps.stopping, AbortSignal.timeout(deps.deleteWaitMs)])
  return { sessionId, isPurged: marked.isPurged || (await purge(deps, marked, wait)) }
}

async function purge(deps: DeleteDeps, { key, active }: Tombstone, wait: AbortSignal): Promise<boolean> {
  if (active !== undefined) await ended(deps, active, wait)
  try {
    return await deps.deletionRepository.purgeSession(key, { lateWriteGraceMs: deps.lateWriteGraceMs, signal: wait })
  } catch {
    return false // the mark stands, which is what was asked for; any process removes the rest, and reports what keeps it from it
  }
}

/** Resolves when the run has ended, or the wait is over; the purge looks for itself. */
async function ended(deps: DeleteDeps, key: RunKey, wait: AbortSignal): Promise<void> {
  const live = deps.liveRuns.get(key)
  await (live === undefined ? waitForEnd(deps, key, wait) : raceSignal(live.done, wait)).catch(() => {})
}
