import type { ClientSession } from 'mongodb'
import type { Attachment } from '../../contract/attachment.ts'
import { errorOf } from '../../contract/errors.ts'
import type { Owner } from '../../contract/principal.ts'
import type { AttachmentRepository, NewAttachment, ReadableAttachment } from '../../ports/attachment-repository.ts'
import type { BytesKey } from '../../ports/attachment-store.ts'
import { insertDocument } from '../driver/insert.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import { longAttemptMs, retryRequest, retryUntil } from '../driver/retry.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import type { AttachmentDocument } from '../schema/collections.ts'
import type { ContentCipher, ContentWriter } from '../schema/content-cipher.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { toAttachment } from '../schema/documents.ts'
import { attachmentKeyOf, newBytesKey } from '../schema/owner-keys.ts'
import { findLinearizable, majorityBarrier } from '../schema/read-barrier.ts'
import { requireNotErasing } from '../transitions/admit-run.ts'
import { requireRoomForBytes, storedBytes } from '../transitions/require-room.ts'
import { sweepAttachments, sweepLooseBytes } from './remove-attachments.ts'
import { openBytes, sealBytes } from './sealed-bytes.ts'

/** An upload takes less than this: after it, what it has left is removed, in milliseconds. */
const maxUploadMs = 24 * 60 * 60 * 1_000

export function createAttachmentRepository(storage: MongoContext): AttachmentRepository {
  const { attachments } = storage.collections
  return {
    store: (owner, attachment, { signal }) => storeAttachment(storage, owner, { attachment, signal }),
    storedBytes: (owner) => retryRequest(() => storedBytes(storage.collections, owner)),
    async open(owner, id) {
      const _id = attachmentKeyOf(owner, id)
      const found = await retryRequest(() => findLinearizable(storage.collections, () => attachments.findOne({ _id })))
      return found === null ? undefined : await toReadable(storage, found)
    },
    async find(owner, ids) {
      const _id = { $in: ids.map((id) => attachmentKeyOf(owner, id)) }
      const found = await retryRequest(async () => {
        const seen = await attachments.find({ _id }).toArray()
        if (seen.length === ids.length) return seen
        await majorityBarrier(storage.collections)
        return await attachments.find({ _id }).toArray()
      })
      return await Promise.all(found.map((document) => toAttachment(storage.cipher, document)))
    },
    async sweep({ maxFiles, signal }) {
      const options = { attemptMs: longAttemptMs }
      const files = await retryUntil(
        signal,
        (either) => sweepAttachments(storage, { maxFiles, signal: either }),
        options,
      )
      const bytes = await retryUntil(
        signal,
        (either) => sweepLooseBytes(storage, { maxFiles, signal: either }),
        options,
      )
      return Math.max(files, bytes)
    },
  }
}

interface Upload {
  readonly attachment: NewAttachment
  readonly signal: AbortSignal
}

/** The document of the bytes first, then the bytes, then the attachment in its place: so no crash leaves bytes that no document names. */
async function storeAttachment(
  storage: MongoContext,
  owner: Owner,
  { attachment, signal }: Upload,
): Promise<Attachment> {
  const { collections, clock, cipher, attachmentStore } = storage
  await retryRequest(() => requireNotErasing(collections.erasures, owner))
  const writer = await cipher.writerFor(owner)
  const bytes = newBytesKey(owner)
  const sweepAt = new Date(clock.now().getTime() + maxUploadMs)
  await retryRequest(() =>
    collections.looseBytes.updateOne({ _id: bytes }, { $setOnInsert: { sweepAt } }, { upsert: true }),
  )
  try {
    const sealed = writer.bytes === undefined ? attachment.bytes : sealBytes(writer.bytes, bytes, attachment.bytes)
    await attachmentStore.write(bytes, sealed, { signal })
    const document = newDocument(owner, { attachment, bytes, writer, now: clock.now() })
    const stored = await retryRequest(() => insertAttachment(storage, owner, { document, attachment }), signal)
    if (stored.bytes !== bytes) await discardBytes(storage, bytes)
    return await sameAttachment(cipher, stored, attachment)
  } catch (error) {
    await discardBytes(storage, bytes).catch(() => {}) // the sweep removes them
    throw error
  }
}

function newDocument(
  owner: Owner,
  made: { attachment: NewAttachment; bytes: BytesKey; writer: ContentWriter; now: Date },
): AttachmentDocument {
  const { attachment, bytes, writer, now } = made
  const { id, name, unusedMs } = attachment
  const { mediaType, sizeBytes, pages, sha256 } = attachment.facts()
  const _id = attachmentKeyOf(owner, id)
  return {
    _id,
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id,
    details: writer.details(_id, { name, sha256 }),
    mediaType,
    sizeBytes,
    pages,
    bytes,
    ...(writer.bytes === undefined ? {} : { sealedWith: writer.bytes.keyId }),
    bindings: 0,
    sweepAt: new Date(now.getTime() + unusedMs),
    createdAt: now,
    v: 1,
  }
}

/** One attempt; answers what is stored under the id, which an earlier attempt or an earlier call may have made. */
async function insertAttachment(
  { client, collections }: MongoContext,
  owner: Owner,
  { document, attachment: { limits } }: { document: AttachmentDocument; attachment: NewAttachment },
): Promise<AttachmentDocument> {
  const { attachments, looseBytes, erasures } = collections
  const stored = await tryTransition(client, async (session: ClientSession) => {
    const own = { _id: document.bytes, isVoid: { $exists: false } } as const
    const { deletedCount } = await looseBytes.deleteOne(own, { session })
    if (deletedCount === 0) throw new AbortTransition()
    await requireNotErasing(erasures, owner, session)
    await requireRoomForBytes(collections, { owner, limits, sizeBytes: document.sizeBytes }, session)
    await insertDocument(attachments, document, { session })
    return document
  })
  if (stored !== undefined) return stored
  const found = await findLinearizable(collections, () => attachments.findOne({ _id: document._id }))
  if (found !== null) return found
  // An erasure of the owner has removed the bytes, and may be over by now.
  const isErased = (await looseBytes.findOne({ _id: document.bytes, isVoid: true })) !== null
  throw isErased ? errorOf('PRINCIPAL_ERASING', { data: { retryAfterMs: 1_000 } }) : new NotCommittedYetError()
}

/** @throws VerbatimError `ATTACHMENT_ID_REUSED` when the id has other bytes or another name */
async function sameAttachment(
  cipher: ContentCipher,
  stored: AttachmentDocument,
  { name, facts }: NewAttachment,
): Promise<Attachment> {
  const attachment = await toAttachment(cipher, stored)
  if (attachment.sha256 === facts().sha256 && attachment.name === name) return attachment
  throw errorOf('ATTACHMENT_ID_REUSED')
}

/**
 * Removes bytes that have become no attachment. A commit whose answer was lost may have made them one: this write then matches nothing,
 * and one that has not landed yet does not land any more.
 */
async function discardBytes({ collections, attachmentStore, clock }: MongoContext, bytes: BytesKey): Promise<void> {
  const { looseBytes } = collections
  const isOver = { $set: { isVoid: true, sweepAt: clock.now() } } as const
  const { matchedCount } = await retryRequest(() => looseBytes.updateOne({ _id: bytes }, isOver))
  if (matchedCount === 0) return
  const signal = AbortSignal.timeout(longAttemptMs)
  await attachmentStore.remove(bytes, { signal })
  await retryRequest(() => looseBytes.deleteOne({ _id: bytes }))
}

async function toReadable(storage: MongoContext, document: AttachmentDocument): Promise<ReadableAttachment> {
  const { cipher, attachmentStore } = storage
  const { bytes, sizeBytes, sealedWith: keyId } = document
  const attachment = await toAttachment(cipher, document)
  const whole = { start: 0, end: sizeBytes }
  return {
    attachment,
    async *read({ range = whole, signal }) {
      const read = (part: typeof whole) => attachmentStore.read(bytes, part, { signal })
      if (keyId === undefined) return yield* read(range)
      yield* openBytes({ open: await cipher.bytesOpener(bytes, keyId), keyId, sizeBytes, range }, read)
    },
  }
}
