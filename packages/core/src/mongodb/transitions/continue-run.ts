import type { LinkedRun, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import { toOwnedRun } from '../schema/documents.ts'
import { hasLanded, NotOursError, storeEnd } from './finish-run.ts'
import { insertRun, newRunDocument, userMessageOf } from './insert-run.ts'
import { isDuplicateKey } from '../driver/map-error.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { inTransaction } from '../driver/transaction.ts'

/**
 * One attempt to end a run and start the one that goes on from it, in one transaction: a crash leaves both or neither, so no
 * follower is sent to a run that is not there, and no session is left idle in between. Safe to repeat with the same input.
 */
export async function continueRun(
  storage: MongoContext,
  owned: OwnedRun,
  { end, next, now }: { end: RunEnd; next: LinkedRun; now: Date },
): Promise<OwnedRun | 'fenced'> {
  const { runs, runEvents, messages } = storage.collections
  const { owner } = owned
  // The end's own id: both are one write, and one answer tells whether it landed.
  const startId = end.batchId
  const lease = { processId: next.processId, ms: next.leaseMs }
  const run = { ...newRunDocument(owner, { ...next, startId }, now), lease }
  try {
    await inTransaction(storage.client, async (session) => {
      const { head: seq } = await storeEnd(storage, { owned, end, continuedBy: next.runId }, session)
      const message = userMessageOf(owner, run, { prompt: next.prompt, seq, createdAt: now })
      await messages.insertOne(message, { session })
      await insertRun(runs, run, session)
      await runEvents.insertOne({ _id: { r: run._id, n: 1 }, b: startId, e: [next.startedEvent] }, { session })
    })
  } catch (error) {
    if (!(error instanceof NotOursError) && !isDuplicateKey(error)) throw error
    if (!(await hasLanded(storage, { owned, end, isContinued: true }))) return 'fenced'
  }
  return toOwnedRun(run)
}
