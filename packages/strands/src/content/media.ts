/** Images and documents, on both ways. */
import { DocumentBlock, ImageBlock } from '@strands-agents/sdk'
import { ImageMediaType } from '@verbatim/core'
import type { DocumentBlock as ContractDocument, ImageBlock as ContractImage } from '@verbatim/core'

/** An image as the contract has it; undefined for a place or a format that it does not know. */
export function imageOf({ format, source }: ImageBlock): ContractImage | undefined {
  if (source.type === 'imageSourceUrl') {
    return /^https?:/.test(source.url) ? { type: 'image', source: { type: 'url', url: source.url } } : undefined
  }
  const mediaType = ImageMediaType.safeParse(`image/${format === 'jpg' ? 'jpeg' : format}`)
  if (source.type !== 'imageSourceBytes' || !mediaType.success || source.bytes.length === 0) return undefined
  const data = Buffer.from(source.bytes).toString('base64')
  return { type: 'image', source: { type: 'base64', media_type: mediaType.data, data } }
}

/** A document as the contract has it: a PDF or plain text. */
export function documentOf({ name, format, source, citations, context }: DocumentBlock): ContractDocument | undefined {
  const more = {
    ...(name === '' ? {} : { title: name }),
    ...(context === undefined || context === '' ? {} : { context }),
    ...(citations === undefined ? {} : { citations: { enabled: citations.enabled } }),
  }
  if (source.type === 'documentSourceBytes' && format === 'pdf' && source.bytes.length > 0) {
    const data = Buffer.from(source.bytes).toString('base64')
    return { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data }, ...more }
  }
  if (source.type === 'documentSourceText' && format === 'txt' && source.text !== '') {
    return { type: 'document', source: { type: 'text', media_type: 'text/plain', data: source.text }, ...more }
  }
  return undefined
}

/** Reads the bytes of an attachment; undefined when the file is gone. */
export type ReadAttachment = (id: string) => Promise<{ bytes: Uint8Array; mediaType: string } | undefined>

/** The image for a Strands model; undefined when there is none to give. */
export async function toStrandsImage({ source }: ContractImage, read: ReadAttachment): Promise<ImageBlock | undefined> {
  if (source.type === 'url') return new ImageBlock({ format: 'png', source: { url: source.url } })
  const file =
    source.type === 'base64'
      ? { bytes: bytesOf(source.data), mediaType: source.media_type }
      : await read(source.attachment_id)
  const format = ImageMediaType.safeParse(file?.mediaType)
  if (file === undefined || !format.success) return undefined
  return new ImageBlock({ format: imageFormats[format.data], source: { bytes: file.bytes } })
}

const imageFormats = { 'image/jpeg': 'jpeg', 'image/png': 'png', 'image/gif': 'gif', 'image/webp': 'webp' } as const

/** The document for a Strands model; undefined when there is none to give. */
export async function toStrandsDocument(
  { source, title, context, citations }: ContractDocument,
  read: ReadAttachment,
): Promise<DocumentBlock | undefined> {
  const more = {
    name: title ?? 'document',
    ...(context === undefined ? {} : { context }),
    ...(citations === undefined ? {} : { citations }),
  }
  if (source.type === 'text') return new DocumentBlock({ ...more, format: 'txt', source: { text: source.data } })
  if (source.type === 'url') return undefined // no Strands model fetches a document
  const file =
    source.type === 'base64'
      ? { bytes: bytesOf(source.data), mediaType: source.media_type }
      : await read(source.attachment_id)
  if (file === undefined) return undefined
  return new DocumentBlock({
    ...more,
    format: file.mediaType === 'application/pdf' ? 'pdf' : 'txt',
    source: { bytes: file.bytes },
  })
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}
