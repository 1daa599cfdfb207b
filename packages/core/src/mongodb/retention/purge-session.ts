/**
 * Removes what belongs to a deleted session, children first, each step safe to repeat: any process continues a purge that is half done.
 * What stays is content-free: the session's and the runs' keys, so that no id is used again, and one key a log, which a
 * zombie that wakes up runs into.
 */
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { attachmentsOf, releaseAttachments, sweepAttachments } from '../attachments/remove-attachments.ts'
import { inTransaction } from '../driver/transaction.ts'
import { entriesOf } from '../log/archive-events.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AuditDocument, Collections, DeletedCounts, MessageDocument, Purge } from '../schema/collections.ts'
import { isDuplicateKey } from '../driver/map-error.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { newer } from '../schema/version.ts'

const maxPerBatch = 500

export interface PurgeOptions {
  readonly lateWriteGraceMs: number
  /** Checked between two steps; aborts when no caller waits for the answer any more. */
  readonly signal: AbortSignal
}

/** One attempt. False while a run goes on. */
export async function purgeSession(storage: MongoContext, key: SessionKey, options: PurgeOptions): Promise<boolean> {
  const removed = await removeContent(storage, key, options)
  if (removed === 'active') return false
  if (removed === 'purged') return true
  // The erasure that the session goes with closes it, and counts it.
  if (removed.erasure !== undefined) return true
  await storeReceipt(storage, key, removed)
  await storage.collections.sessions.updateOne({ _id: key, purge: { $exists: true } }, closed)
  return true
}

/** What a purged session is: its key, which refuses a used id. */
export const closed = [{ $replaceWith: { _id: '$_id', deletedAt: '$deletedAt', v: '$v' } }]

/** Removes all but the session's own document. `active` while a run goes on, or a newer server has stored a part: then it removes nothing. */
export async function removeContent(
  storage: MongoContext,
  key: SessionKey,
  options: PurgeOptions,
): Promise<CountedPurge | 'active' | 'purged'> {
  const { collections } = storage
  const { runs, messages, agentStates, sessions } = collections
  if (!(await sessions.findOne({ _id: key, purge: { $exists: true } }))) return 'purged'
  if (await runs.findOne({ s: key, status: { $in: ['running', 'queued'] } })) return 'active'
  // What a newer server has stored may have parts that this one does not know: it is that server's to remove.
  const ofNewer = [
    sessions.findOne({ _id: key, ...newer }),
    runs.findOne({ s: key, ...newer }),
    messages.findOne({ s: key, ...newer }),
    agentStates.findOne({ s: key, ...newer }),
  ]
  if ((await Promise.all(ofNewer)).some((found) => found !== null)) return 'active'
  const purge = await withCounts(collections, key)
  if (purge === undefined) return 'purged'
  await removeRuns(collections, key, options)
  await removeMessages(storage, key, options)
  await agentStates.deleteMany({ s: key })
  return purge
}

export type CountedPurge = Purge & { readonly counts: DeletedCounts }

/** Nothing is added any more, and nothing is removed before the counts are stored: the first process to count has counted all. */
async function withCounts(
  { sessions, runs, messages }: Collections,
  key: SessionKey,
): Promise<CountedPurge | undefined> {
  const uncounted = { _id: key, purge: { $exists: true }, 'purge.counts': { $exists: false } } as const
  if ((await sessions.findOne(uncounted)) !== null) {
    const [ofRuns] = await runs
      .aggregate<{ runs: number; events: number }>([
        { $match: { s: key } },
        { $group: { _id: null, runs: { $sum: 1 }, events: { $sum: '$lastSeq' } } },
      ])
      .toArray()
    const { runs: runCount, events } = ofRuns ?? { runs: 0, events: 0 }
    const counts = { runs: runCount, messages: await messages.countDocuments({ s: key }), events }
    await sessions.updateOne(uncounted, { $set: { 'purge.counts': counts } })
  }
  const counted = await sessions.findOne({ _id: key })
  const { purge } = counted ?? {}
  return purge?.counts === undefined ? undefined : { ...purge, counts: purge.counts }
}

async function removeRuns(
  collections: Collections,
  key: SessionKey,
  { lateWriteGraceMs, signal }: PurgeOptions,
): Promise<void> {
  while (true) {
    const batch = await collections.runs
      .find({ s: key }, { projection: { _id: 1 } })
      .limit(maxPerBatch)
      .toArray()
    if (batch.length === 0) return
    for (const { _id } of batch) {
      signal.throwIfAborted()
      await removeRun(collections, _id, lateWriteGraceMs)
    }
  }
}

/** The log first: from then on its readers get the error, and an archiver stops (see archive-events.ts). */
async function removeRun(
  { runs, runEvents, runArchives }: Collections,
  key: RunKey,
  lateWriteGraceMs: number,
): Promise<void> {
  const [last] = await runEvents
    .find(entriesOf(key), { projection: { _id: 1 } })
    .sort({ _id: -1 })
    .limit(1)
    .toArray()
  if (last !== undefined) {
    // The keys that a zombie runs into stay, as in an archived log.
    const kept = { $or: [{ _id: last._id }, { ...entriesOf(key), 'e.type': 'run_resumed' as const }] }
    await runEvents.updateMany(kept, { $set: { e: [] } })
    await runEvents.deleteMany({ ...entriesOf(key), e: { $ne: [] } })
  }
  await runArchives.deleteMany(entriesOf(key))
  const sweepAt = { $add: ['$$NOW', lateWriteGraceMs] }
  await runs.updateOne({ _id: key, s: { $exists: true } }, [
    { $replaceWith: { _id: '$_id', status: 'deleted', sweepAt, v: '$v' } },
  ])
}

async function removeMessages(storage: MongoContext, key: SessionKey, { signal }: PurgeOptions): Promise<void> {
  const { messages } = storage.collections
  while (true) {
    const batch = await messages
      .find({ s: key }, { projection: { _id: 1, attachments: 1 } })
      .limit(maxPerBatch)
      .toArray()
    if (batch.length === 0) return
    signal.throwIfAborted()
    await removeBatch(storage, batch, signal)
  }
}

/** With messages that name files, one transaction, which marks the files for the sweep; those that no other message names go at once. */
async function removeBatch(
  storage: MongoContext,
  batch: readonly Pick<MessageDocument, '_id' | 'attachments'>[],
  signal: AbortSignal,
): Promise<void> {
  const { client, collections, clock } = storage
  const those = { _id: { $in: batch.map(({ _id }) => _id) } }
  const keys = attachmentsOf(batch)
  if (keys.length === 0) return void (await collections.messages.deleteMany(those))
  await inTransaction(client, async (session) => {
    await collections.messages.deleteMany(those, { session })
    await releaseAttachments(collections, keys, { now: clock.now(), session })
  })
  let looked = 0
  do looked = await sweepAttachments(storage, { keys, maxFiles: maxPerBatch, signal })
  while (looked > 0)
}

/** Its key is the session's, so that two processes that finish the same purge store one. */
async function storeReceipt(storage: MongoContext, key: SessionKey, purge: CountedPurge): Promise<void> {
  const { collections, clock, audit } = storage
  const { tenantId, actor, counts } = purge
  const receipt: AuditDocument = {
    _id: `session_deleted:${key}`,
    tenantId,
    actor,
    ...(actor === null ? {} : { subject: actor }),
    action: 'session_deleted',
    target: key,
    counts: { ...counts },
    at: clock.now(),
    v: 1,
  }
  try {
    await collections.audit.insertOne(receipt)
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    return
  }
  announce(audit, [receipt])
}
