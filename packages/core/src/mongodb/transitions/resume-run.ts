import type { AppendOutcome } from '../../ports/event-log.ts'
import type { OwnedRun, RunResumption } from '../../ports/run-repository.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import type { EventsDocument } from '../schema/collections.ts'
import type { ContentWriter } from '../schema/content-cipher.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { hasLanded, heldBy } from './finish-run.ts'

/**
 * One attempt to store the entry that a resumed run goes on with. A transaction, which checks the fence: an entry of a process that was
 * paused meanwhile could otherwise take the seq of one that has moved into the archive. Safe to repeat with the same input.
 */
export async function resumeRun(
  storage: MongoContext,
  owned: OwnedRun,
  { seq, batchId, event, writer }: RunResumption & { readonly writer: ContentWriter },
): Promise<AppendOutcome> {
  const { client, collections } = storage
  const stored = await tryTransition(client, async (session, writes) => {
    // A write, so that the transaction meets every other one about the run.
    const renewed = { $currentDate: { 'lease.renewedAt': true } } as const
    const held = await collections.runs.updateOne(heldBy(owned), renewed, { session })
    if (held.matchedCount === 0) throw new AbortTransition()
    const e = writer.events({ key: owned.key, firstSeq: seq, events: [event] })
    const entry: EventsDocument = { _id: { r: owned.key, n: seq }, b: batchId, e }
    writes.insert(collections.runEvents, entry)
    return true
  })
  if (stored !== undefined) return 'stored'
  return (await hasLanded(storage, owned, { firstSeq: seq, batchId })) ? 'stored' : 'fenced'
}
