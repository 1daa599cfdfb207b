/**
 * Bytes in the same database, in the format of GridFS, so that its tools read them. Written here and not by the driver's bucket: that one
 * makes indexes on the way, puts the bytes into the part of a command that mongod logs, and does not survive an election.
 */
import { Binary, ObjectId } from 'mongodb'
import { cutBytes } from '../../async/cut-bytes.ts'
import { errorOf } from '../../contract/errors.ts'
import type { AttachmentStore, ByteRange, BytesKey } from '../../ports/attachment-store.ts'
import type { Clock } from '../../ports/clock.ts'
import { insertDocument } from '../driver/insert.ts'
import { isOnlyDuplicates } from '../driver/map-error.ts'
import { longAttemptMs, retryUntil } from '../driver/retry.ts'
import type { BytesChunkDocument, Collections } from '../schema/collections.ts'

/** The specification's own size: a document is then a little under 256 KiB. */
const chunkSize = 255 * 1024

/** Chunks of one write and of one read: a megabyte in memory. */
const chunksAtOnce = 4

/** How long the database may be away before an upload or a download fails, in milliseconds: longer than an election. */
const patienceMs = 30_000

type GridFs = Pick<Collections, 'attachmentBytesFiles' | 'attachmentBytesChunks'>

export function createGridFsStore(collections: GridFs, clock: Clock): AttachmentStore {
  const { attachmentBytesFiles: files, attachmentBytesChunks: chunks } = collections
  return {
    async write(key, bytes, { signal }) {
      let n = 0
      let length = 0
      for await (const piece of cutBytes(bytes, chunkSize * chunksAtOnce)) {
        const documents = toChunks(key, piece, n)
        await retryUntil(patience(signal), () => insertChunks(chunks, documents))
        n += documents.length
        length += piece.byteLength
      }
      const file = { _id: key, length, chunkSize, uploadDate: clock.now(), filename: key }
      await retryUntil(patience(signal), async () => {
        await insertDocument(files, file).catch(ignoreDuplicates)
      })
    },
    read: (key, range, { signal }) => readChunks(chunks, { key, range, signal }),
    async remove(key, { signal }) {
      const attemptMs = longAttemptMs
      await retryUntil(signal, () => files.deleteOne({ _id: key }), { attemptMs })
      await retryUntil(signal, () => chunks.deleteMany({ files_id: key }), { attemptMs })
    },
  }
}

function patience(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(patienceMs)])
}

/** Ids are made once, so that a repeated insert meets what an earlier one has stored. */
function toChunks(key: BytesKey, piece: Buffer, firstN: number): BytesChunkDocument[] {
  const documents: BytesChunkDocument[] = []
  for (let at = 0; at < piece.byteLength; at += chunkSize) {
    const data = new Binary(piece.subarray(at, at + chunkSize))
    documents.push({ _id: new ObjectId(), files_id: key, n: firstN + documents.length, data })
  }
  return documents
}

async function insertChunks(chunks: GridFs['attachmentBytesChunks'], documents: BytesChunkDocument[]): Promise<void> {
  await chunks.insertMany(documents, { ordered: false }).catch(ignoreDuplicates)
}

/** Every key is written once, so what is there is this very write's. */
function ignoreDuplicates(error: unknown): void {
  if (!isOnlyDuplicates(error)) throw error
}

async function* readChunks(
  chunks: GridFs['attachmentBytesChunks'],
  { key, range, signal }: { key: BytesKey; range: ByteRange; signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, void> {
  const lastN = Math.ceil(range.end / chunkSize)
  let n = Math.floor(range.start / chunkSize)
  while (n < lastN) {
    const upTo = Math.min(n + chunksAtOnce, lastN)
    const page = await retryUntil(patience(signal), () =>
      chunks
        .find({ files_id: key, n: { $gte: n, $lt: upTo } })
        .sort({ n: 1 })
        .toArray(),
    )
    if (page.length < upTo - n) throw errorOf('ATTACHMENT_NOT_FOUND')
    for (const chunk of page) {
      const from = chunk.n * chunkSize
      yield chunk.data.value().subarray(Math.max(0, range.start - from), range.end - from)
    }
    n = upTo
  }
}
