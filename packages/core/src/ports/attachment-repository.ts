import type { Attachment } from '../contract/attachment.ts'
import type { AttachmentId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { ByteRange } from './attachment-store.ts'
import type { StoredLimits } from './run-repository.ts'

/** What an upload is found to be when its last byte has been read. */
export type AttachmentFacts = Pick<Attachment, 'mediaType' | 'sizeBytes' | 'sha256' | 'pages'>

/** A file to store. */
export interface NewAttachment {
  readonly id: AttachmentId
  readonly name: string
  readonly bytes: AsyncIterable<Uint8Array>
  /** Asked after the last byte. */
  readonly facts: () => AttachmentFacts
  /** How long it is kept while no message names it, in milliseconds. */
  readonly unusedMs: number
  readonly limits?: StoredLimits | undefined
}

/** A file with the way to its bytes. */
export interface ReadableAttachment {
  readonly attachment: Attachment
  /** Its bytes, or a range of them, read as they are taken. @throws VerbatimError `UNAVAILABLE`, `CONTENT_UNREADABLE`; the signal's reason */
  read(options: { range?: ByteRange | undefined; signal: AbortSignal }): AsyncIterable<Uint8Array>
}

/** The owner's files. Every call takes the owner; another owner's files count as missing. */
export interface AttachmentRepository {
  /**
   * Stores a file. Nothing of it is left when the call fails. The same id with the same bytes is the same file.
   *
   * @throws VerbatimError `ATTACHMENT_ID_REUSED`, `RATE_LIMITED`, `PRINCIPAL_ERASING`, `UNAVAILABLE`; what `bytes` and `facts` throw
   */
  store(owner: Owner, attachment: NewAttachment, options: { signal: AbortSignal }): Promise<Attachment>
  /** Bytes of all files of the owner, counted up to `limit`. */
  storedBytes(owner: Owner): Promise<number>
  /** The file with the way to its bytes. */
  open(owner: Owner, id: AttachmentId): Promise<ReadableAttachment | undefined>
  /** Those of the ids that the owner has. */
  find(owner: Owner, ids: readonly AttachmentId[]): Promise<Attachment[]>
  /**
   * Removes files that no message names: those that were never used in their time, and those whose messages are gone. At most
   * `maxFiles`; answers how many it has looked at. Safe to repeat, also by two processes at once.
   *
   * @throws VerbatimError `UNAVAILABLE`
   */
  sweep(options: { maxFiles: number; signal: AbortSignal }): Promise<number>
}
