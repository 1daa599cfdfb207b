import type { ClientSession } from 'mongodb'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { SessionDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { known } from '../schema/version.ts'
import { endQueuedRuns } from './cancel-queued-run.ts'

/**
 * Stops all runs of a session, as it was `before` the transaction changed it: those that wait end, and the active one is asked to,
 * by the intent that its process finds. Answers them, the active one first.
 */
export async function stopRuns(
  { collections, clock }: MongoContext,
  owner: Owner,
  { before, session }: { before: Pick<SessionDocument, 'activeRunId' | 'queue'>; session: ClientSession },
): Promise<RunKey[]> {
  const waiting = (before.queue ?? []).map((id) => runKeyOf(owner, id))
  const ended = waiting.map((key) => ({ key, batchId: crypto.randomUUID() }))
  await endQueuedRuns(collections, ended, { now: clock.now(), session })
  if (before.activeRunId === null) return waiting
  const active = runKeyOf(owner, before.activeRunId)
  await collections.runs.updateOne(
    { _id: active, status: 'running', ...known },
    [{ $set: { cancelRequestedAt: { $ifNull: ['$cancelRequestedAt', '$$NOW'] } } }],
    { session },
  )
  return [active, ...waiting]
}
