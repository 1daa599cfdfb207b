/**
 * Images and documents of a conversation, for one run. In: blocks that name files, or hold them. Out: sources that the API takes, for as
 * many of the newest as one request holds; and what each weighs, because a model does not read an image byte by byte.
 */
import type { ContentBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AttachmentId } from '../../contract/identifiers.ts'
import { ImageMediaType } from '../../contract/media-block.ts'
import type { DocumentBlock, ImageBlock } from '../../contract/media-block.ts'
import type { AgentRequest, AttachedFile } from '../../ports/agent.ts'
import type { Turn } from './claude-message.ts'

export type MediaBlock = ImageBlock | DocumentBlock
type Source = Exclude<MediaBlock['source'], { type: 'attachment' }>

/** The API takes 32 MB, and the rest of the request needs some of it. */
const maxMediaChars = 24_000_000
/** The API takes about so many images of a conversation ("Vision"). */
const maxMediaBlocks = 100
/** An image is about 1,600 tokens, whatever its size in bytes ("Vision"); this text has about as many. */
const imageWeight = 6_000
/** A page of a PDF is up to 3,000 tokens of text, and an image ("PDF support"). */
const pageWeight = 12_000
/** Where the pages are not known. */
const bytesPerPage = 50_000

/** What is known of files. */
export type KnownFiles = ReadonlyMap<AttachmentId, AttachedFile>

/** What the API gets of each block. A block that is not here is left out: its file is gone, or a request holds no more. */
export type MediaSources = ReadonlyMap<MediaBlock, Source>

export interface MediaLoader {
  readonly files: KnownFiles
  /** Reads the files that `turns` name, the newest first. @throws VerbatimError `UNAVAILABLE`; the signal's reason when it aborts */
  load(turns: readonly Pick<Turn, 'content'>[]): Promise<MediaSources>
}

/** Looks the files of a conversation up, with one command; without files there is none. @throws VerbatimError `UNAVAILABLE` */
export async function openMedia({ messages, attachments }: AgentRequest, signal: AbortSignal): Promise<MediaLoader> {
  const files = new Map<AttachmentId, AttachedFile>()
  const read = new Map<AttachmentId, Source>()
  const find = async (blocks: readonly MediaBlock[]): Promise<void> => {
    const ids = idsOf(blocks).filter((id) => !files.has(id))
    if (ids.length === 0 || attachments === undefined) return
    for (const file of await attachments.find(ids, { signal })) files.set(file.id, file)
  }
  const sourceOf = async ({ type, source }: MediaBlock): Promise<Source | undefined> => {
    if (source.type !== 'attachment') return source
    const file = files.get(source.attachment_id)
    if (file === undefined || attachments === undefined || !isReadableAs(type, file)) return undefined
    const known = read.get(file.id)
    if (known !== undefined) return known
    const bytes = await unlessGone(attachments.read(file.id, { signal }))
    const made = bytes && toSource(file, bytes)
    if (made !== undefined) read.set(file.id, made)
    return made
  }
  await find(mediaOf(messages))
  return {
    files,
    async load(turns) {
      const blocks = mediaOf(turns)
      await find(blocks)
      const sources = new Map<MediaBlock, Source>()
      let room = maxMediaChars
      for (const block of blocks.toReversed().slice(0, maxMediaBlocks)) {
        room -= charsOf(block, files)
        if (room < 0) break // older ones would leave a hole in what the model sees
        const source = await sourceOf(block)
        if (source !== undefined) sources.set(block, source)
      }
      return sources
    },
  }
}

/** What a block counts as, in bytes of text. */
export function weightOf({ type, source }: MediaBlock, files: KnownFiles): number {
  const file = source.type === 'attachment' ? files.get(source.attachment_id) : undefined
  if (type === 'image') return imageWeight
  if (source.type === 'text') return Buffer.byteLength(source.data)
  if (file?.mediaType === 'text/plain') return file.sizeBytes
  const sizeBytes = source.type === 'base64' ? source.data.length : (file?.sizeBytes ?? 0)
  return (file?.pages ?? Math.max(1, Math.ceil(sizeBytes / bytesPerPage))) * pageWeight
}

/** Whether citations of documents are asked for. */
export function citesDocuments(turns: readonly Pick<Turn, 'content'>[]): boolean {
  return mediaOf(turns).some((block) => block.type === 'document' && block.citations?.enabled === true)
}

/** What stands in the place of a block that is left out. */
export function noteOf(block: MediaBlock): string {
  const name = (block.type === 'image' ? block.alt : block.title) ?? ''
  return `[The ${block.type}${name === '' ? '' : ` "${name}"`} is left out: it is no longer there, or a request holds no more]`
}

function mediaOf(turns: readonly Pick<Turn, 'content'>[]): MediaBlock[] {
  return turns.flatMap(({ content }) => content.flatMap(mediaOfBlock))
}

function mediaOfBlock(block: ContentBlock): MediaBlock[] {
  if (block.type === 'image' || block.type === 'document') return [block]
  return block.type === 'tool_result' && typeof block.content !== 'string' ? block.content.flatMap(mediaOfBlock) : []
}

function idsOf(blocks: readonly MediaBlock[]): AttachmentId[] {
  return [...new Set(blocks.flatMap(({ source }) => (source.type === 'attachment' ? [source.attachment_id] : [])))]
}

/** Base64 is a third longer than its bytes. */
function charsOf({ source }: MediaBlock, files: KnownFiles): number {
  switch (source.type) {
    case 'base64':
    case 'text':
      return source.data.length
    case 'attachment':
      return ((files.get(source.attachment_id)?.sizeBytes ?? 0) * 4) / 3
    case 'url':
      return 0
  }
}

function isReadableAs(type: MediaBlock['type'], { mediaType }: AttachedFile): boolean {
  if (type === 'image') return ImageMediaType.safeParse(mediaType).success
  return mediaType === 'application/pdf' || mediaType === 'text/plain'
}

function toSource({ mediaType }: AttachedFile, bytes: Uint8Array): Source | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (mediaType === 'text/plain') return { type: 'text', media_type: mediaType, data: buffer.toString('utf8') }
  const media_type = mediaType === 'application/pdf' ? mediaType : ImageMediaType.safeParse(mediaType).data
  return media_type && ({ type: 'base64', media_type, data: buffer.toString('base64') } as Source) // the type of its block was checked
}

async function unlessGone(reading: Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  try {
    return await reading
  } catch (error) {
    if (isVerbatimError(error) && error.httpStatus === 404) return undefined
    throw error
  }
}
