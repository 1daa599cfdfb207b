/**
 * Bytes of attachments in a bucket of S3, or of a store with its protocol. A file of more than one part is uploaded in parts, so the
 * process holds one part of each upload; it is there when the last call has completed it, or not at all.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3'
import { cutBytes } from '../async/cut-bytes.ts'
import { errorOf, isVerbatimError, VerbatimError } from '../contract/errors.ts'
import type { AttachmentStore } from '../ports/attachment-store.ts'

/** The least that S3 takes as a part, but for the last one. */
const partBytes = 5 * 1024 * 1024

/** What {@link createS3Store} takes. */
export interface S3StoreOptions {
  /** The caller's, with its region and credentials; the caller destroys it. */
  readonly client: S3Client
  /** Must be there, and must not be public. */
  readonly bucket: string
  /** Comes before every key. @default none */
  readonly prefix?: string | undefined
}

/** An {@link AttachmentStore} on S3: `createMongoStorage({ …, attachmentStore: createS3Store({ client, bucket }) })`. */
export function createS3Store({ client, bucket: Bucket, prefix = '' }: S3StoreOptions): AttachmentStore {
  const placeOf = (key: string) => ({ Bucket, Key: `${prefix}${key}` })
  return {
    async write(key, bytes, { signal }) {
      await writeParts({ client, place: placeOf(key), signal }, bytes)
    },
    async *read(key, { start, end }, { signal }) {
      const range = { ...placeOf(key), Range: `bytes=${start}-${end - 1}` }
      const { Body } = await translated(client.send(new GetObjectCommand(range), { abortSignal: signal }), signal)
      try {
        for await (const chunk of (Body ?? []) as AsyncIterable<Uint8Array>) yield chunk // a stream of Node
      } catch (error) {
        throw toStoreError(error, signal)
      }
    },
    async remove(key, { signal }) {
      await translated(client.send(new DeleteObjectCommand(placeOf(key)), { abortSignal: signal }), signal)
    },
  }
}

interface Writing {
  readonly client: S3Client
  readonly place: { readonly Bucket: string; readonly Key: string }
  readonly signal: AbortSignal
}

/** A file of one part is one call. */
async function writeParts(writing: Writing, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const { client, place, signal } = writing
  const pieces = cutBytes(bytes, partBytes)
  const { value: first } = await pieces.next()
  const { value: second } = await pieces.next()
  if (first !== undefined && second !== undefined) return await writeLarge(writing, [first, second], pieces)
  const put = new PutObjectCommand({ ...place, Body: first ?? Buffer.alloc(0) })
  await translated(client.send(put, { abortSignal: signal }), signal)
}

async function writeLarge(writing: Writing, beginning: readonly Buffer[], rest: AsyncIterable<Buffer>): Promise<void> {
  const { client, place, signal } = writing
  const options = { abortSignal: signal }
  const begun = await translated(client.send(new CreateMultipartUploadCommand(place), options), signal)
  const UploadId = begun.UploadId ?? ''
  try {
    const Parts: CompletedPart[] = []
    const add = async (Body: Buffer) => {
      Parts.push(await writePart(writing, { UploadId, PartNumber: Parts.length + 1, Body }))
    }
    for (const piece of beginning) await add(piece)
    for await (const piece of rest) await add(piece)
    const complete = new CompleteMultipartUploadCommand({ ...place, UploadId, MultipartUpload: { Parts } })
    await translated(client.send(complete, options), signal)
  } catch (error) {
    // Its parts would stay, and cost. Where this fails too, the bucket's own rule removes them (docs/operations.md).
    await client.send(new AbortMultipartUploadCommand({ ...place, UploadId })).catch(() => {})
    throw error
  }
}

async function writePart(
  { client, place, signal }: Writing,
  part: { readonly UploadId: string; readonly PartNumber: number; readonly Body: Buffer },
): Promise<CompletedPart> {
  const sent = client.send(new UploadPartCommand({ ...place, ...part }), { abortSignal: signal })
  const { ETag, ChecksumCRC32 } = await translated(sent, signal)
  return { ETag, PartNumber: part.PartNumber, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) }
}

async function translated<TResult>(call: Promise<TResult>, signal: AbortSignal): Promise<TResult> {
  try {
    return await call
  } catch (error) {
    throw toStoreError(error, signal)
  }
}

/** A key that is missing is a file that is gone. All else passes: the operator mends a bucket or its rights, and callers try again. */
function toStoreError(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (isVerbatimError(error)) return error
  if (error instanceof S3ServiceException && error.name === 'NoSuchKey') return errorOf('ATTACHMENT_NOT_FOUND')
  const message = 'The store of attachments cannot be reached just now; try again'
  return new VerbatimError('UNAVAILABLE', message, { data: { retryAfterMs: 1_000 }, cause: error })
}
