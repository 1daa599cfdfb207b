import type { LinkedRun, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import { toOwnedRun, withTitle } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import type { ContentWriter } from '../schema/content-cipher.ts'
import { messageKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { known } from '../schema/version.ts'
import { notDeleted } from './admit-run.ts'
import { firstSeqOf, hasLanded, markEnded, storeEnding } from './finish-run.ts'
import { newRunDocument, storeBeginning } from './store-beginning.ts'

/**
 * One attempt to end a run and start the one that goes on from it, in one transaction: a crash leaves both or neither, so no
 * follower is sent to a run that is not there, and the session is not idle in between. Runs that wait go on waiting. Safe to
 * repeat with the same input.
 */
export async function continueRun(
  storage: MongoContext,
  owned: OwnedRun,
  { end, next, now, writer }: { end: RunEnd; next: LinkedRun; now: Date; writer: ContentWriter },
): Promise<OwnedRun | 'fenced'> {
  const { owner, run: ended } = owned
  const { collections } = storage
  // The end's own id: both are one write, and one answer tells whether it landed.
  const run = newRunDocument(owner, { ...next, startId: end.batchId }, now)
  const stored = await tryTransition(storage.client, async (session, writes) => {
    markEnded(collections, { owned, end, now, continuedBy: next.runId }, writes)
    const kept = await collections.sessions.findOneAndUpdate(
      { _id: sessionKeyOf(owner, ended.sessionId), ...notDeleted, ...known, activeRunId: ended.id },
      { $inc: { head: 2, rev: 1 }, $set: { activeRunId: next.runId, updatedAt: now } },
      { session, returnDocument: 'after', projection: { head: 1, title: 1 } },
    )
    if (kept === null) throw new AbortTransition()
    await storeEnding(collections, { owned, end, now, writer, seq: kept.head - 1 }, { session, writes })
    const lease = { processId: next.processId, ms: next.leaseMs }
    const key = messageKeyOf(owner, next.sessionId, next.userMessageId)
    const input = next.input === undefined ? undefined : writer.json({ part: 'input', of: key }, next.input)
    const message = { prompt: writer.content(key, next.prompt), input, seq: kept.head }
    storeBeginning(storage, { owner, run, lease, message, event: next.startedEvent }, writes)
    return kept.title
  })
  if (stored !== undefined) return withTitle(storage.cipher, toOwnedRun(run), stored)
  const written = { firstSeq: firstSeqOf(end), batchId: end.batchId, isContinued: true }
  return (await hasLanded(storage, owned, written)) ? toOwnedRun(run) : 'fenced'
}
