/** All runs of a session at once: those that wait end, the one that is being made is asked to. */
import type { ClientSession } from 'mongodb'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { endQueuedRuns } from './cancel-queued-run.ts'
import type { SessionDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'

/** The run whose turn it is, and those that wait. */
export function keysOfRuns(
  owner: Owner,
  { activeRunId, queue = [] }: Pick<SessionDocument, 'activeRunId' | 'queue'>,
): RunKey[] {
  return [...(activeRunId === null ? [] : [activeRunId]), ...queue].map((id) => runKeyOf(owner, id))
}

/** Answers whether one of them is running; it ends by itself now that the intent is stored. */
export async function stopRuns(
  { collections }: MongoContext,
  keys: readonly RunKey[],
  { now, session }: { now: Date; session: ClientSession },
): Promise<boolean> {
  const queued = { _id: { $in: [...keys] }, status: 'queued' } as const
  const waiting = await collections.runs.find(queued, { session, projection: { _id: 1 } }).toArray()
  await endQueuedRuns(
    collections,
    waiting.map((run) => ({ key: run._id, batchId: crypto.randomUUID() })),
    { now, session },
  )
  const stopped = await collections.runs.updateOne(
    { _id: { $in: [...keys] }, status: 'running' },
    [{ $set: { cancelRequestedAt: { $ifNull: ['$cancelRequestedAt', '$$NOW'] } } }],
    { session },
  )
  return stopped.matchedCount > 0
}
