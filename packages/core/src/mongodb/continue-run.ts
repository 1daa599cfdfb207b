import type { LinkedRun, OwnedRun, RunEnd } from '../ports/run-repository.ts'
import { toOwnedRun } from './documents.ts'
import { NotOursError, storeEnd, whoEndedIt } from './finish-run.ts'
import { isDuplicateKey } from './map-error.ts'
import type { MongoContext } from './mongo-context.ts'
import { sessionKeyOf } from './owner-keys.ts'
import { insertRun, newRunDocument, userMessage } from './start-run.ts'
import { inTransaction } from './transaction.ts'

/**
 * One attempt to end a run and start the one that goes on from it, in one transaction: a crash leaves both or neither, so no
 * follower is sent to a run that is not there, and no session is left idle in between. Safe to repeat with the same input.
 */
export async function continueRun(
  storage: MongoContext,
  owned: OwnedRun,
  { end, next, now }: { end: RunEnd; next: LinkedRun; now: Date },
): Promise<OwnedRun | 'fenced'> {
  const { sessions, messages } = storage.collections
  const { owner } = owned
  // The end's own id: both are one write, and one answer tells whether it landed.
  const start = { ...next, startId: end.batchId }
  const run = newRunDocument(owner, start, now)
  try {
    await inTransaction(storage.client, async (session) => {
      const { head } = await storeEnd(storage, { owned, end, now, continuedBy: next.runId }, session)
      await sessions.updateOne({ _id: sessionKeyOf(owner, next.sessionId) }, { $inc: { head: 1 } }, { session })
      await messages.insertOne(userMessage(owner, start, { seq: head + 1, createdAt: now }), { session })
      await insertRun(storage.collections, { run, firstEvent: next.firstEvent }, session)
    })
  } catch (error) {
    if (!(error instanceof NotOursError) && !isDuplicateKey(error)) throw error
    if ((await whoEndedIt(storage, owned, end)) === 'fenced') return 'fenced'
  }
  return toOwnedRun(run)
}
