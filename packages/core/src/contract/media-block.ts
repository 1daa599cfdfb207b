/**
 * Images and documents: in prompts, in results of tools, and in answers of agents that make them. The names and the casing are those of
 * Anthropic's Messages API. A large file is an attachment, so that no document of the database grows with it.
 */
import { z } from 'zod'
import { AttachmentId } from './identifiers.ts'

const maxAltLength = 2_000
const maxTitleLength = 500
const maxContextLength = 10_000
const maxUrlLength = 8_192

/** Not a pattern with groups: a regular expression keeps its way through half a megabyte of them. */
const base64 = z
  .string()
  .min(4)
  .refine((data) => data.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(data), 'Must be base64')

/** A file that was uploaded before, by its id. */
const AttachmentSource = z.strictObject({ type: z.literal('attachment'), attachment_id: AttachmentId })
/** A file that the provider fetches; the server never does. */
const UrlSource = z.strictObject({
  type: z.literal('url'),
  url: z.url({ protocol: /^https?$/ }).max(maxUrlLength),
})

/** Types of images that models read. */
export const ImageMediaType = z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp'])
export type ImageMediaType = z.infer<typeof ImageMediaType>

/** Where the bytes of an image are. */
export const ImageSource = z.discriminatedUnion('type', [
  AttachmentSource,
  z.strictObject({ type: z.literal('base64'), media_type: ImageMediaType, data: base64 }),
  UrlSource,
])
export type ImageSource = z.infer<typeof ImageSource>

/** Where the bytes of a document are. */
export const DocumentSource = z.discriminatedUnion('type', [
  AttachmentSource,
  z.strictObject({ type: z.literal('base64'), media_type: z.literal('application/pdf'), data: base64 }),
  UrlSource,
  z.strictObject({ type: z.literal('text'), media_type: z.literal('text/plain'), data: z.string().min(1) }),
])
export type DocumentSource = z.infer<typeof DocumentSource>

/** An image. */
export const ImageBlock = z.strictObject({
  type: z.literal('image'),
  source: ImageSource,
  /** What the image shows, for people who do not see it. The model does not receive it. */
  alt: z.string().min(1).max(maxAltLength).optional(),
})
export type ImageBlock = z.infer<typeof ImageBlock>

/** A document: a PDF or plain text. */
export const DocumentBlock = z.strictObject({
  type: z.literal('document'),
  source: DocumentSource,
  title: z.string().min(1).max(maxTitleLength).optional(),
  /** What the model shall know of the document and not cite. */
  context: z.string().min(1).max(maxContextLength).optional(),
  /** Whether the model cites passages of the document. The provider wants the same in all documents of a request. @default false */
  citations: z.strictObject({ enabled: z.boolean() }).optional(),
})
export type DocumentBlock = z.infer<typeof DocumentBlock>
