/** The parts of a user's message become the blocks of a prompt. All parts are checked before the first file is stored. */
import { AttachmentName, PromptInput } from '@verbatim/core'
import type { AttachmentId, PromptBlock } from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'
import { deriveId } from './derive-id.ts'
import { invalid } from './read-request.ts'
import type { UserMessage } from './read-request.ts'

/** A part of the message, checked. */
type ReadPart =
  | { readonly type: 'block'; readonly block: PromptBlock }
  | { readonly type: 'upload'; readonly name: string; readonly bytes: Uint8Array }

/**
 * The prompt of `message`: its text, and its files as attachments. The same message gives the same attachments.
 *
 * @throws VerbatimError `INVALID_INPUT`, and what the engine's upload throws: `ATTACHMENT_REFUSED`, `PAYLOAD_TOO_LARGE`, …
 */
export async function toPrompt(
  { engine, owner, signal }: EndpointCall,
  message: UserMessage,
  sessionId: string,
): Promise<PromptInput> {
  const parts = message.parts.flatMap((part, at) => readPart(part, `message.parts.${at}`) ?? [])
  const blocks: PromptBlock[] = []
  for (const [at, part] of parts.entries()) {
    if (part.type === 'block') {
      blocks.push(part.block)
      continue
    }
    const { name, bytes } = part
    const id = deriveId('attachment', sessionId, message.id, String(at))
    const upload = { id, name, sizeBytes: bytes.byteLength, bytes: once(bytes), signal }
    const { mediaType } = await engine.attachments.upload(owner, upload)
    blocks.push(toFileBlock(mediaType, { type: 'attachment', attachment_id: id }, name))
  }
  const parsed = PromptInput.safeParse(blocks)
  if (parsed.success) return parsed.data
  throw invalid('message.parts', `message.parts: ${parsed.error.issues[0]?.message ?? 'is no prompt'}`)
}

type Part = UserMessage['parts'][number]

/** Undefined for parts that say nothing to a model. */
function readPart(part: Part, field: string): ReadPart | undefined {
  if (part.type === 'text') {
    const { text } = part
    if (typeof text !== 'string') throw invalid(`${field}.text`, `${field}.text: must be text`)
    return text.trim() === '' ? undefined : { type: 'block', block: { type: 'text', text } }
  }
  if (part.type === 'file') return readFile(part, field)
  if (part.type.startsWith('data-')) return undefined // for the application's own pages, as in the AI SDK
  throw invalid(`${field}.type`, `${field}.type: a message of a user has text and files`)
}

function readFile({ url, mediaType, filename }: Part, field: string): ReadPart {
  if (typeof url !== 'string' || typeof mediaType !== 'string') {
    throw invalid(`${field}.url`, `${field}.url: a file has a url and a mediaType`)
  }
  const name = AttachmentName.safeParse(filename).data ?? 'file'
  if (url.startsWith('data:')) return { type: 'upload', name, bytes: bytesOf(url, field) }
  const attachmentId = /^\/(?:[^?#]*\/)?attachments\/([0-9a-fA-F-]{36})$/.exec(url)?.[1]
  if (attachmentId !== undefined) {
    return {
      type: 'block',
      block: toFileBlock(mediaType, { type: 'attachment', attachment_id: attachmentId }, filename),
    }
  }
  if (/^https?:/i.test(url)) return { type: 'block', block: toFileBlock(mediaType, { type: 'url', url }, filename) }
  throw invalid(
    `${field}.url`,
    `${field}.url: must be a data: URL, an address of http or https, or an attachment's path`,
  )
}

type FileSource = { type: 'attachment'; attachment_id: AttachmentId } | { type: 'url'; url: string }

function toFileBlock(mediaType: string, source: FileSource, name: unknown): PromptBlock {
  if (/^image(\/|$)/i.test(mediaType)) return { type: 'image', source }
  return { type: 'document', source, ...(typeof name === 'string' && name !== '' ? { title: name.slice(0, 500) } : {}) }
}

/** The bytes of a data: URL. @throws VerbatimError `INVALID_INPUT` */
function bytesOf(url: string, field: string): Uint8Array {
  const comma = url.indexOf(',')
  const data = url.slice(comma + 1)
  if (comma !== -1 && /;\s*base64$/i.test(url.slice(0, comma))) {
    if (/^[A-Za-z0-9+/]*={0,2}$/.test(data)) return Buffer.from(data, 'base64')
  } else if (comma !== -1) {
    try {
      return Buffer.from(decodeURIComponent(data))
    } catch {
      // malformed: refused below
    }
  }
  throw invalid(`${field}.url`, `${field}.url: is no data: URL that can be read`)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes
}
