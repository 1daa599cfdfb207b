/**
 * Files go in two steps: one transaction moves their bytes from `attachments` to `loose_bytes`, where no caller finds them; then the
 * bytes go. A process that dies in between leaves a document that names the bytes, and any process goes on from it.
 */
import type { ClientSession } from 'mongodb'
import type { Owner } from '../../contract/principal.ts'
import { inTransaction } from '../driver/transaction.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AttachmentDocument, AuditDocument, Collections, LooseBytesDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { bytesOf } from '../schema/owner-keys.ts'
import type { AttachmentKey } from '../schema/owner-keys.ts'

const maxPerBatch = 100

/** A transaction that removes names of these files calls this, and so no file is forgotten: the sweep looks at each. */
export async function releaseAttachments(
  { attachments }: Pick<Collections, 'attachments'>,
  keys: readonly AttachmentKey[],
  { now, session }: { now: Date; session: ClientSession },
): Promise<void> {
  if (keys.length === 0) return
  await attachments.updateMany({ _id: { $in: [...keys] } }, { $set: { sweepAt: now } }, { session })
}

/** The files that documents with their names have, each once. */
export function attachmentsOf(
  documents: readonly { readonly attachments?: readonly AttachmentKey[] | undefined }[],
): AttachmentKey[] {
  return [...new Set(documents.flatMap(({ attachments = [] }) => attachments))]
}

/** One attempt: removes those of the files whose time has come and that no document names; answers how many it has looked at. */
export async function sweepAttachments(
  storage: MongoContext,
  { keys, maxFiles, signal }: { keys?: readonly AttachmentKey[]; maxFiles: number; signal: AbortSignal },
): Promise<number> {
  const { attachments } = storage.collections
  const due = { sweepAt: { $lte: storage.clock.now() }, ...(keys && { _id: { $in: [...keys] } }) }
  const found = await attachments
    .find(due, { projection: { _id: 1 } })
    .sort({ sweepAt: 1 })
    .limit(Math.min(maxFiles, maxPerBatch))
    .toArray()
  if (found.length === 0) return 0
  const ids = found.map(({ _id }) => _id)
  const moved = await inTransaction(storage.client, (session) => moveUnused(storage, { ids, due }, session))
  announce(storage.audit, moved.receipts)
  await removeBytes(storage, moved.loose, signal)
  return found.length
}

interface Moved {
  readonly loose: readonly LooseBytesDocument[]
  readonly receipts: readonly AuditDocument[]
}

async function moveUnused(
  storage: MongoContext,
  { ids, due }: { ids: AttachmentKey[]; due: object },
  session: ClientSession,
): Promise<Moved> {
  const { attachments } = storage.collections
  const found = await attachments.find({ ...due, _id: { $in: ids } }, { session }).toArray()
  const named = await namedOf(storage.collections, ids, session)
  const kept = found.filter(({ _id }) => named.has(_id))
  // The look is over until a name of the file goes again.
  if (kept.length > 0) {
    const stay = { _id: { $in: kept.map(({ _id }) => _id) } }
    await attachments.updateMany(stay, { $unset: { sweepAt: true } }, { session })
  }
  return await moveAll(storage, { removed: found.filter(({ _id }) => !named.has(_id)), isAudited: true }, session)
}

/** The part of a removal that the caller's transaction makes. */
export async function moveAll(
  { collections, clock }: MongoContext,
  { removed, isAudited }: { removed: readonly AttachmentDocument[]; isAudited: boolean },
  session: ClientSession,
): Promise<Moved> {
  if (removed.length === 0) return { loose: [], receipts: [] }
  const now = clock.now()
  const loose = removed.map(({ bytes }) => ({ _id: bytes, sweepAt: now }))
  const receipts = isAudited ? receiptsOf(removed, now) : []
  await collections.attachments.deleteMany({ _id: { $in: removed.map(({ _id }) => _id) } }, { session })
  await collections.looseBytes.insertMany(loose, { session })
  if (receipts.length > 0) await collections.audit.insertMany(receipts, { session })
  return { loose, receipts }
}

/** Those of the files that a message or a waiting run names. */
async function namedOf(
  { messages, runs }: Collections,
  ids: readonly AttachmentKey[],
  session: ClientSession,
): Promise<ReadonlySet<AttachmentKey>> {
  const match = { attachments: { $in: [...ids] } }
  const stages = [
    { $match: match },
    { $project: { _id: 0, attachments: 1 } },
    { $unwind: '$attachments' },
    { $match: match },
    { $group: { _id: '$attachments' } },
  ]
  const named = new Set<AttachmentKey>()
  for await (const { _id } of messages.aggregate<{ _id: AttachmentKey }>(stages, { session })) named.add(_id)
  for await (const { _id } of runs.aggregate<{ _id: AttachmentKey }>(stages, { session })) named.add(_id)
  return named
}

/** One row a tenant. */
function receiptsOf(removed: readonly AttachmentDocument[], at: Date): AuditDocument[] {
  return [...new Set(removed.map(({ tenantId }) => tenantId))].map((tenantId) => {
    const files = removed.filter((file) => file.tenantId === tenantId)
    const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const counts = { attachments: files.length, bytes }
    return {
      _id: crypto.randomUUID(),
      tenantId,
      actor: null,
      action: 'attachments_removed',
      target: null,
      counts,
      at,
      v: 1,
    }
  })
}

/** Removes bytes whose time has come; answers how many there were. */
export async function sweepLooseBytes(
  storage: MongoContext,
  { maxFiles, signal }: { maxFiles: number; signal: AbortSignal },
): Promise<number> {
  const loose = await storage.collections.looseBytes
    .find({ sweepAt: { $lte: storage.clock.now() } })
    .sort({ sweepAt: 1 })
    .limit(Math.min(maxFiles, maxPerBatch))
    .toArray()
  await removeBytes(storage, loose, signal)
  return loose.length
}

async function removeBytes(
  { collections, attachmentStore }: MongoContext,
  loose: readonly LooseBytesDocument[],
  signal: AbortSignal,
): Promise<void> {
  for (const { _id } of loose) {
    signal.throwIfAborted()
    await attachmentStore.remove(_id, { signal })
    await collections.looseBytes.deleteOne({ _id })
  }
}

/**
 * Removes all bytes of an owner that no attachment has. What an upload has stored goes too; its document stays for its time, because the
 * upload may go on to write, and tells it that it must not become an attachment.
 */
export async function eraseLooseBytes(storage: MongoContext, owner: Owner, signal: AbortSignal): Promise<void> {
  const { looseBytes } = storage.collections
  const now = storage.clock.now()
  await looseBytes.updateMany({ ...bytesOf(owner), sweepAt: { $gt: now } }, { $set: { isVoid: true } })
  for await (const loose of looseBytes.find(bytesOf(owner))) {
    if (loose.sweepAt <= now) await removeBytes(storage, [loose], signal)
    else await storage.attachmentStore.remove(loose._id, { signal })
  }
}
