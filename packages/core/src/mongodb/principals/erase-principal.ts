/**
 * Erasing a principal. First no session of it can be made any more (see `requireNotErasing`). Then each session is deleted as any session
 * is, which stops its runs; all else follows. After the time in which a write of a lost process could still land, all of it is
 * done once more, so nothing comes back. Each step is safe to repeat: any process continues an erasure that is half done.
 */
import type { Erasure } from '../../contract/principal-data.ts'
import { ownerOf } from '../../contract/principal.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { ErasureStep, NewErasure, PrincipalKey, PrincipalRepository } from '../../ports/principal-repository.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import { eraseLooseBytes, moveAll } from '../attachments/remove-attachments.ts'
import { inTransaction, tryTransition } from '../driver/transaction.ts'
import { closed, removeContent } from '../retention/purge-session.ts'
import type { CountedPurge } from '../retention/purge-session.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AuditDocument, Collections, ErasureDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'
import { storeTombstone } from '../transitions/delete-session.ts'
import { inProgress, toReceipt } from './erasure-receipt.ts'
import { auditOf, rowHoldings } from './holdings.ts'

/** What one statement or transaction takes, and one look holds in memory. */
const maxPerBatch = 100

/** Sessions that are worked on at once. */
const maxAtOnce = 8

/** Between two looks for the end of a run, in milliseconds. */
const runPollMs = 250

/** `signal` is checked between two batches. */
type EraseOptions = Parameters<PrincipalRepository['erase']>[1]

/** One attempt; the erasure of this id, or the one that goes on. */
export async function beginErasure(
  storage: MongoContext,
  owner: Owner,
  { id, requestedBy }: NewErasure,
): Promise<BegunErasure> {
  const { audit, erasures } = storage.collections
  const key = principalKeyOf(owner)
  const document = newErasure(owner, { id, requestedBy }, storage.clock.now())
  // One snapshot: an erasure that ends just now is seen with its receipt, or going on.
  const begun = await tryTransition(storage.client, async (session) => {
    const receipt = await audit.findOne({ _id: receiptIdOf(key, id) }, { session })
    if (receipt !== null) return toReceipt(receipt)
    await erasures.insertOne(document, { session })
    return inProgress(document)
  })
  if (begun !== undefined) return { key, erasure: begun }
  const found = await erasures.findOne({ _id: key })
  if (found === null) throw new NotCommittedYetError()
  return { key, erasure: inProgress(found) }
}

interface BegunErasure {
  readonly key: PrincipalKey
  readonly erasure: Erasure
}

function newErasure(owner: Owner, { id, requestedBy }: NewErasure, requestedAt: Date): ErasureDocument {
  const isOfTenant = requestedBy.tenantId === owner.tenantId
  return {
    _id: principalKeyOf(owner),
    id,
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    requestedBy: isOfTenant && requestedBy.ownerId === owner.ownerId ? null : requestedBy.ownerId,
    ...(isOfTenant ? {} : { requestedByTenantId: requestedBy.tenantId }),
    requestedAt,
    counts: {},
    v: 1,
  }
}

/** Two owners may use the same id. */
function receiptIdOf(key: PrincipalKey, id: string): string {
  return `principal_erased:${key}:${id}`
}

/** One attempt of a step. */
export async function erasePrincipal(
  storage: MongoContext,
  key: PrincipalKey,
  options: EraseOptions,
): Promise<ErasureStep | undefined> {
  const { erasures } = storage.collections
  const isSettled = { $lte: ['$settleAt', '$$NOW'] }
  const [begun] = await erasures.aggregate<Begun>([{ $match: { _id: key } }, { $set: { isSettled } }]).toArray()
  if (begun === undefined) return undefined
  const owner = ownerOf({ tenantId: begun.tenantId, userId: begun.ownerId, scopes: [] })
  const erasing = { storage, key, owner, options }
  await deleteSessions(erasing)
  const isPurged = await purgeSessions(erasing)
  await removeAttachments(erasing)
  await removeRows(erasing)
  await removeNames(erasing)
  if (!isPurged) return { erasure: inProgress(await current(erasures, begun)), nextMs: runPollMs }
  if (begun.settleAt === undefined) return await settle(erasing, begun)
  // Set again by no process: what was missing in `$lte` is a date by now.
  if (!begun.isSettled) return { erasure: inProgress(await current(erasures, begun)), nextMs: options.lateWriteGraceMs }
  return { erasure: toReceipt(await storeReceipt(erasing, begun)), nextMs: undefined }
}

type Begun = ErasureDocument & { readonly isSettled: boolean }

interface Erasing {
  readonly storage: MongoContext
  readonly key: PrincipalKey
  readonly owner: Owner
  readonly options: EraseOptions
}

async function current(erasures: Collections['erasures'], begun: ErasureDocument): Promise<ErasureDocument> {
  return (await erasures.findOne({ _id: begun._id })) ?? begun
}

/** Stores a tombstone for every session; those that the owner deleted before join the erasure, and its receipt. */
async function deleteSessions({ storage, key, owner, options }: Erasing): Promise<void> {
  const { sessions } = storage.collections
  const { tenantId, ownerId } = owner
  const purge = { actor: null, erasure: key }
  while (true) {
    options.signal.throwIfAborted()
    const batch = await sessions
      .find({ tenantId, ownerId }, { projection: { id: 1 } })
      .limit(maxPerBatch)
      .toArray()
    if (batch.length === 0) break
    await atOnce(batch, ({ id: sessionId }) => storeTombstone(storage, owner, { sessionId, purge }))
  }
  const deletedBefore = { purge: { $exists: true }, 'purge.tenantId': tenantId, 'purge.actor': ownerId } as const
  await sessions.updateMany(deletedBefore, { $set: { 'purge.actor': null, 'purge.erasure': key } })
}

/** False while a run goes on. */
async function purgeSessions({ storage, key, options }: Erasing): Promise<boolean> {
  const { collections } = storage
  let last = '' as SessionKey
  let isPurged = true
  while (true) {
    options.signal.throwIfAborted()
    const batch = await collections.sessions
      .find({ 'purge.erasure': key, _id: { $gt: last } }, { projection: { _id: 1 } })
      .sort({ _id: 1 })
      .limit(maxPerBatch)
      .toArray()
    if (batch.length === 0) return isPurged
    const removed = await atOnce(batch, async ({ _id }) => ({
      _id,
      purge: await removeContent(storage, _id, options),
    }))
    if (removed.some(({ purge }) => purge === 'active')) isPurged = false
    const done = removed.filter((one): one is Removed => typeof one.purge === 'object')
    await closeSessions(storage, key, done)
    last = batch.at(-1)?._id ?? last
  }
}

interface Removed {
  readonly _id: SessionKey
  readonly purge: CountedPurge
}

/** One transaction, so that a session is counted once, however many processes erase at once and wherever they stop. */
async function closeSessions(storage: MongoContext, key: PrincipalKey, removed: readonly Removed[]): Promise<void> {
  if (removed.length === 0) return
  const { sessions, erasures } = storage.collections
  const countOf = new Map(removed.map(({ _id, purge }) => [_id, purge.counts]))
  await inTransaction(storage.client, async (session) => {
    const ofErasure = { _id: { $in: [...countOf.keys()] }, 'purge.erasure': key }
    const open = await sessions.find(ofErasure, { session, projection: { _id: 1 } }).toArray()
    if (open.length === 0) return
    const counts = open.map(({ _id }) => countOf.get(_id) ?? { runs: 0, messages: 0, events: 0 })
    const sum = (kind: 'runs' | 'messages' | 'events') => counts.reduce((total, count) => total + count[kind], 0)
    await sessions.updateMany({ _id: { $in: open.map(({ _id }) => _id) } }, closed, { session })
    const inc = {
      'counts.sessions': open.length,
      'counts.runs': sum('runs'),
      'counts.messages': sum('messages'),
      'counts.events': sum('events'),
    }
    await erasures.updateOne({ _id: key }, { $inc: inc }, { session })
  })
}

/** Removes the files that are left, with their bytes: those that no message named, and those of a run that still ends. */
async function removeAttachments({ storage, key, owner, options }: Erasing): Promise<void> {
  const { collections, client } = storage
  const { tenantId, ownerId } = owner
  while (true) {
    options.signal.throwIfAborted()
    const count = await inTransaction(client, async (session) => {
      const own = collections.attachments.find({ tenantId, ownerId }, { session })
      const removed = await own.limit(maxPerBatch).toArray()
      await moveAll(storage, { removed, isAudited: false }, session)
      const counted = { $inc: { 'counts.attachments': removed.length } }
      if (removed.length > 0) await collections.erasures.updateOne({ _id: key }, counted, { session })
      return removed.length
    })
    if (count < maxPerBatch) break
  }
  await eraseLooseBytes(storage, owner, options.signal)
}

/** Removes the rows of every collection that has rows of the owner. */
async function removeRows({ storage, key, owner, options }: Erasing): Promise<void> {
  const { collections, client } = storage
  for (const { type, name, rows, filterOf } of rowHoldings(collections)) {
    if (type !== 'rows') continue
    const filter = filterOf(owner)
    while (true) {
      options.signal.throwIfAborted()
      const batch = await rows
        .find(filter, { projection: { _id: 1 } })
        .limit(maxPerBatch)
        .toArray()
      if (batch.length === 0) break
      await inTransaction(client, async (session) => {
        const { deletedCount } = await rows.deleteMany({ _id: { $in: batch.map(({ _id }) => _id) } }, { session })
        await collections.erasures.updateOne({ _id: key }, { $inc: { [`counts.${name}`]: deletedCount } }, { session })
      })
    }
  }
}

/**
 * The audit keeps its rows, and the owner's key takes the place of the owner's name in them: it tells rows of one user from those of
 * another, and not whose they are. Ids of the owner that other users asked for go too.
 */
async function removeNames({ storage, key, owner }: Erasing): Promise<void> {
  const { audit } = storage.collections
  const { tenantId, ownerId } = owner
  if ((await audit.findOne(auditOf(owner), { projection: { _id: 1 } })) === null) return
  await audit.updateMany({ subject: ownerId, tenantId, action: 'foreign_id' }, { $set: { subject: key, target: null } })
  await audit.updateMany({ subject: ownerId, tenantId }, { $set: { subject: key } })
  await audit.updateMany({ actor: ownerId, tenantId, actorTenantId: { $exists: false } }, { $set: { actor: key } })
  await audit.updateMany({ actor: ownerId, actorTenantId: tenantId }, { $set: { actor: key } })
}

/**
 * All is removed once; now late writes can land, until `settleAt`. What lies elsewhere goes before that wait, not after it: a user who
 * comes back right after the erasure must not meet a process that still holds a destroyed key for new content.
 */
async function settle({ storage, key, owner, options }: Erasing, begun: ErasureDocument): Promise<ErasureStep> {
  const { erasures } = storage.collections
  const { lateWriteGraceMs } = options
  await options.onRemoved(owner)
  const settleAt = { $ifNull: ['$settleAt', { $add: ['$$NOW', lateWriteGraceMs] }] }
  await erasures.updateOne({ _id: key }, [{ $set: { settleAt } }])
  return { erasure: inProgress(await current(erasures, begun)), nextMs: lateWriteGraceMs }
}

/** The receipt takes the place of the erasure; from then on sessions can be made again. */
async function storeReceipt({ storage, key }: Erasing, begun: ErasureDocument): Promise<AuditDocument> {
  const { audit, erasures } = storage.collections
  const stored = await inTransaction(storage.client, async (session) => {
    const ended = await erasures.findOneAndDelete({ _id: key, id: begun.id }, { session })
    if (ended === null) return undefined
    const receipt: AuditDocument = {
      _id: receiptIdOf(key, begun.id),
      tenantId: begun.tenantId,
      actor: begun.requestedBy,
      ...(begun.requestedByTenantId === undefined ? {} : { actorTenantId: begun.requestedByTenantId }),
      action: 'principal_erased',
      target: key,
      counts: ended.counts,
      at: storage.clock.now(),
      requestedAt: ended.requestedAt,
      v: 1,
    }
    await audit.insertOne(receipt, { session })
    return receipt
  })
  if (stored !== undefined) announce(storage.audit, [stored])
  const receipt = stored ?? (await audit.findOne({ _id: receiptIdOf(key, begun.id) }))
  if (receipt === null) throw new Error('An erasure ended without a receipt')
  return receipt
}

/** `task` for each item, `maxAtOnce` at a time. */
async function atOnce<TItem, TResult>(
  items: readonly TItem[],
  task: (item: TItem) => Promise<TResult>,
): Promise<TResult[]> {
  const results: TResult[] = []
  for (let at = 0; at < items.length; at += maxAtOnce) {
    results.push(...(await Promise.all(items.slice(at, at + maxAtOnce).map(task))))
  }
  return results
}
