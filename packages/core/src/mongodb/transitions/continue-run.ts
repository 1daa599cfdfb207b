import type { LinkedRun, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import { toOwnedRun } from '../schema/documents.ts'
import { tryTransition } from '../driver/transaction.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { hasLanded, storeEnd } from './finish-run.ts'
import { newRunDocument, storeBeginning } from './store-beginning.ts'

/**
 * One attempt to end a run and start the one that goes on from it, in one transaction: a crash leaves both or neither, so no
 * follower is sent to a run that is not there, and no session is left idle in between. Safe to repeat with the same input.
 */
export async function continueRun(
  storage: MongoContext,
  owned: OwnedRun,
  { end, next, now }: { end: RunEnd; next: LinkedRun; now: Date },
): Promise<OwnedRun | 'fenced'> {
  const { owner } = owned
  // The end's own id: both are one write, and one answer tells whether it landed.
  const run = newRunDocument(owner, { ...next, startId: end.batchId }, now)
  const stored = await tryTransition(storage.client, async (session) => {
    const { head: seq } = await storeEnd(storage, { owned, end, continuedBy: next.runId }, session)
    const lease = { processId: next.processId, ms: next.leaseMs }
    const message = { prompt: next.prompt, seq }
    await storeBeginning(storage, { owner, run, lease, message, event: next.startedEvent }, session)
    return true
  })
  const isStored = stored ?? (await hasLanded(storage, { owned, end, isContinued: true }))
  return isStored ? toOwnedRun(run) : 'fenced'
}
