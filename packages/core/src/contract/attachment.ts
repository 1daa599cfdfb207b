/** Files beside the messages: a message names them by their ids, and no document holds their bytes. */
import { z } from 'zod'
import { AttachmentId } from './identifiers.ts'

/** A file's name as its sender gave it: 1 to 255 characters of text, without a path. It says nothing about the file's type. */
export const AttachmentName = z
  .string()
  .min(1, 'Must not be empty')
  .max(255, 'Must be at most 255 characters')
  .refine((name) => name.isWellFormed(), 'Must be well-formed Unicode')
  .refine((name) => !/[\u0000-\u001F\u007F/\\]/.test(name), 'Must not hold control characters or / or \\') // eslint-disable-line no-control-regex -- those are what it refuses
export type AttachmentName = z.infer<typeof AttachmentName>

/** A stored file. It never changes. */
export const Attachment = z.strictObject({
  id: AttachmentId,
  name: AttachmentName,
  /** Found in the bytes, whatever the sender said; all text is `text/plain`. */
  mediaType: z.string(),
  sizeBytes: z.int().positive(),
  /** SHA-256 of the bytes, in hexadecimal digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** The pages of a PDF; null for other types. */
  pages: z.int().positive().nullable(),
  createdAt: z.iso.datetime(),
})
export type Attachment = z.infer<typeof Attachment>

/** Attachments that one message may name. */
export const maxAttachmentsPerMessage = 100

/** The ids of the attachments that `content` names, each once: as the source of an image or a document, also in a tool's answer. */
export function attachmentIdsOf(content: readonly unknown[]): AttachmentId[] {
  const ids = new Set<AttachmentId>()
  const visit = (block: unknown): void => {
    if (typeof block !== 'object' || block === null) return
    if ('source' in block) addSource(ids, block.source)
    if ('content' in block && Array.isArray(block.content)) for (const inner of block.content) visit(inner)
  }
  for (const block of content) visit(block)
  return [...ids]
}

function addSource(ids: Set<AttachmentId>, source: unknown): void {
  if (typeof source !== 'object' || source === null || !('type' in source) || source.type !== 'attachment') return
  const id = AttachmentId.safeParse('attachment_id' in source ? source.attachment_id : undefined)
  if (id.success) ids.add(id.data)
}
