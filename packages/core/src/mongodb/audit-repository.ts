import type { Filter } from 'mongodb'
import type { AuditEntry } from '../contract/audit.ts'
import { ownerOf } from '../contract/principal.ts'
import type { AuditRepository, AuditRequest, ForeignId, MissingId } from '../ports/audit.ts'
import type { AuditDocument, Collections } from './schema/collections.ts'
import { announce, toAuditDocument, toAuditEntry } from './schema/audit-rows.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { fromTimeCursor, toPage, toTimeCursor } from './driver/paging.ts'
import { retryRequest, retryUntil } from './driver/retry.ts'

export function createAuditRepository({ collections, audit: listeners }: MongoContext): AuditRepository {
  const { audit } = collections
  return {
    async store(entry) {
      const row = toAuditDocument(entry)
      // An earlier attempt may have stored it.
      await retryRequest(() => audit.replaceOne({ _id: row._id }, row, { upsert: true }))
      announce(listeners, [row])
    },
    async storeCounted(entries) {
      const rows = entries.map(toAuditDocument).map(({ _id, ...row }) => {
        return { replaceOne: { filter: { _id }, replacement: row, upsert: true } }
      })
      await retryRequest(() => audit.bulkWrite(rows, { ordered: false }))
    },
    async findForeign(missing) {
      const found = await retryRequest(() => Promise.all(missing.map((one) => findForeign(collections, one))))
      return found.filter((one) => one !== undefined)
    },
    list: (request) => listAudit(audit, request),
    expire: ({ before, maxRows, signal }) => retryUntil(signal, () => expireAudit(audit, { before, maxRows })),
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

type Audit = Collections['audit']

/** The form of a row's key: a UUID, or what the row is about. */
const rowKey = /^[A-Za-z0-9_:-]{1,100}$/

async function listAudit(audit: Audit, { tenantId, cursor, limit }: AuditRequest) {
  const after = cursor ? fromTimeCursor(cursor, rowKey) : undefined
  const ofTenant: Filter<AuditDocument> = tenantId === undefined ? {} : { tenantId: { $eq: tenantId } }
  const past = after && { $or: [{ at: { $lt: after.time } }, { at: after.time, _id: { $lt: after.key } }] }
  const found = await retryRequest(() =>
    audit
      .find({ ...ofTenant, ...past })
      .sort({ at: -1, _id: -1 })
      .limit(limit + 1)
      .toArray(),
  )
  return await toPage<AuditDocument, AuditEntry>(found, limit, {
    toItem: toAuditEntry,
    toCursor: ({ at, _id }) => toTimeCursor(at, _id),
  })
}

/** An id of two owners is a name that many choose, such as `session-1`. */
async function findForeign(collections: Collections, missing: MissingId): Promise<ForeignId | undefined> {
  const { owner, kind, id } = missing
  const named = { run: collections.runs, session: collections.sessions, attachment: collections.attachments }
  const found = await owners(named[kind], id)
  const [other, ...more] = found
  if (other === undefined || more.length > 0) return undefined
  const subject = ownerOf({ tenantId: other.tenantId, userId: other.ownerId, scopes: [] })
  // The caller may have made it since.
  const isOwn = subject.tenantId === owner.tenantId && subject.ownerId === owner.ownerId
  return isOwn ? undefined : { ...missing, subject }
}

/** The owners of the documents of this id, two at most. */
async function owners(
  collection: Collections['runs' | 'sessions' | 'attachments'],
  id: string,
): Promise<{ tenantId: string; ownerId: string }[]> {
  const named = collection as Collections['sessions'] // all have these fields, and the driver's type of a union takes no filter
  const projection = { tenantId: 1, ownerId: 1 } as const
  return await named
    .find({ id: { $eq: id } }, { projection })
    .limit(2)
    .toArray()
}

async function expireAudit(audit: Audit, { before, maxRows }: { before: Date; maxRows: number }): Promise<number> {
  const old = await audit
    .find({ at: { $lt: before } }, { projection: { _id: 1 } })
    .sort({ at: 1, _id: 1 })
    .limit(maxRows)
    .toArray()
  if (old.length > 0) await audit.deleteMany({ _id: { $in: old.map((row) => row._id) } })
  return old.length
}
