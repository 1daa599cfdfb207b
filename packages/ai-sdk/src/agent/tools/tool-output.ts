/** What a tool of the AI SDK says to the model, in the blocks of a stored result. */
import type { ToolSet } from 'ai'
import { DocumentBlock, ImageBlock } from '@verbatim/core'
import type { ToolResultContent, ToolResultPart } from '@verbatim/core'
import { ToolError } from '@verbatim/core/claude'

type ModelOutput = Awaited<ReturnType<NonNullable<ToolSet[string]['toModelOutput']>>>
type OutputPart = Extract<ModelOutput, { type: 'content' }>['value'][number]

/** @throws ToolError for an output that says that the tool failed */
export function toResultContent(output: ModelOutput): ToolResultContent {
  switch (output.type) {
    case 'text':
      return output.value
    case 'json':
      return JSON.stringify(output.value)
    case 'error-text':
      throw new ToolError(output.value)
    case 'error-json':
      throw new ToolError(JSON.stringify(output.value))
    case 'execution-denied':
      throw new ToolError(output.reason ?? 'The tool was not allowed to run')
    case 'content':
      return output.value.map(toResultPart)
  }
}

function toResultPart(part: OutputPart): ToolResultPart {
  if (part.type === 'text') return { type: 'text', text: part.text }
  return toMediaPart(part) ?? { type: 'text', text: `[A ${part.type} that no model here reads]` }
}

function toMediaPart(part: OutputPart): ToolResultPart | undefined {
  switch (part.type) {
    case 'file':
      if (part.data.type === 'text') return { type: 'text', text: part.data.text }
      if (part.data.type === 'url') return toMediaBlock(part.mediaType, { url: part.data.url.toString() })
      return part.data.type === 'data' ? toMediaBlock(part.mediaType, { data: toBase64(part.data.data) }) : undefined
    case 'file-data':
    case 'image-data':
      return toMediaBlock(part.mediaType, { data: part.data })
    case 'file-url':
      return toMediaBlock(part.mediaType ?? '', { url: part.url })
    case 'image-url':
      return toMediaBlock('image', { url: part.url })
    default:
      return undefined
  }
}

/** An image or a document of these bytes, or at this address; undefined for a type that the contract does not have. */
export function toMediaBlock(
  mediaType: string,
  source: { readonly url: string } | { readonly data: string },
): ImageBlock | DocumentBlock | undefined {
  const isImage = mediaType.startsWith('image')
  const from = 'url' in source ? { type: 'url', url: source.url } : sourceOf(mediaType, source.data)
  return isImage
    ? ImageBlock.safeParse({ type: 'image', source: from }).data
    : DocumentBlock.safeParse({ type: 'document', source: from }).data
}

function sourceOf(mediaType: string, data: string) {
  return mediaType === 'text/plain'
    ? { type: 'text', media_type: mediaType, data: Buffer.from(data, 'base64').toString('utf8') }
    : { type: 'base64', media_type: mediaType, data }
}

function toBase64(data: string | Uint8Array | ArrayBuffer): string {
  if (typeof data === 'string') return data
  return (
    data instanceof Uint8Array ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data)
  ).toString('base64')
}
