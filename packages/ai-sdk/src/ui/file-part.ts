import type { AttachmentId, DocumentBlock, ImageBlock } from '@verbatim/core'

/** How a page reaches files. */
export interface FileOptions {
  /** The address of an attachment. @default `/attachments/<id>`, where the API serves it */
  readonly attachmentUrl?: ((id: AttachmentId) => string) | undefined
}

/** An image or a document as the AI SDK names files. */
export interface FileReference {
  readonly url: string
  readonly mediaType: string
}

const attachmentPath = (id: AttachmentId): string => `/attachments/${id}`

/** The file of a block. An attachment's type is not in the block, so it is named as far as the block tells it. */
export function toFile(
  block: ImageBlock | DocumentBlock,
  { attachmentUrl = attachmentPath }: FileOptions,
): FileReference {
  const { source } = block
  const kind = block.type === 'image' ? 'image' : 'application'
  switch (source.type) {
    case 'attachment':
      return { url: attachmentUrl(source.attachment_id), mediaType: kind }
    case 'url':
      return { url: source.url, mediaType: block.type === 'image' ? kind : 'application/pdf' }
    case 'base64':
      return { url: `data:${source.media_type};base64,${source.data}`, mediaType: source.media_type }
    case 'text':
      return { url: `data:text/plain;charset=utf-8,${encodeURIComponent(source.data)}`, mediaType: 'text/plain' }
  }
}
