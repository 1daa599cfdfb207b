/**
 * Deletion: a durable tombstone, after which nothing starts or is stored in the session. Its active run ends as a cancelled one does,
 * whichever process drives it; then everything is removed. `purge-sessions.ts` removes what this call leaves.
 */
import { requireFound } from '../contract/errors.ts'
import type { SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { DeleteSessionResult } from '../contract/session.ts'
import type { Tombstone } from '../ports/deletion-repository.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { stopAndWait } from '../runs/lifecycle/cancel-run.ts'

/** @throws VerbatimError `SESSION_NOT_FOUND`, `UNAVAILABLE` */
export async function deleteSession(
  context: EngineContext,
  owner: Owner,
  { sessionId, signal = context.stopping }: { sessionId: SessionId; signal?: AbortSignal | undefined },
): Promise<DeleteSessionResult> {
  const { ports, options, liveRuns, tails, stopping } = context
  const tombstone = requireFound(await ports.deletionRepository.storeTombstone(owner, sessionId), 'SESSION_NOT_FOUND')
  for (const key of tombstone.stopped) {
    liveRuns.cancel(key)
    tails.hint(key)
  }
  const wait = AbortSignal.any([signal, stopping, AbortSignal.timeout(options.cancelWaitMs)])
  return { sessionId, isPurged: tombstone.isPurged || (await purge(context, tombstone, wait)) }
}

async function purge(context: EngineContext, { key, active }: Tombstone, wait: AbortSignal): Promise<boolean> {
  const { ports, options } = context
  // Whether the run has ended or the wait is over, the purge checks for itself.
  if (active !== undefined) await stopAndWait(context, active, wait).catch(() => {})
  try {
    return await ports.deletionRepository.purgeSession(key, { lateWriteGraceMs: options.leaseMs, signal: wait })
  } catch {
    return false // the tombstone is stored, as the caller asked; any process removes the rest and reports what prevents it
  }
}
