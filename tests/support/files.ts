/** Files as people send them, made here: their first bytes tell their type, the rest is of any length. */
import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import type { Attachment, ImageBlock, Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { dbOf } from './deleted.ts'
import { ada } from './follow.ts'

const pngHead = Buffer.from(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082',
  'hex',
)

/** A real PNG of one pixel, with random bytes after its end where it is to be longer. */
export function pngOf(sizeBytes = pngHead.byteLength): Buffer {
  return Buffer.concat([pngHead, randomBytes(Math.max(0, sizeBytes - pngHead.byteLength))])
}

export interface PdfInput {
  readonly pages: number
  /** As writers of today do it: the page tree in a compressed stream. */
  readonly isCompressed?: boolean
  readonly isEncrypted?: boolean
}

/** A small PDF; its page tree is one node, between what the pages show and their fonts, as most writers place it. */
export function pdfOf({ pages, isCompressed = false, isEncrypted = false }: PdfInput): Buffer {
  const catalog = '<< /Type /Catalog /Pages 2 0 R >>'
  const kids = Array.from({ length: Math.min(pages, 500) }, (_page, at) => `${at + 10} 0 R`).join(' ')
  const tree = `<< /Type /Pages /Kids [${kids}] /Count ${pages} >>`
  const trailer = `trailer\n<< /Size 9 /Root 1 0 R${isEncrypted ? ' /Encrypt 8 0 R' : ''} >>\nstartxref\n0\n%%EOF\n`
  const objects = isCompressed
    ? objectStream(`${catalog} ${tree}`, `1 0 2 ${catalog.length + 1}`)
    : Buffer.from(`1 0 obj\n${catalog}\nendobj\n2 0 obj\n${tree}\nendobj\n`)
  const head = Buffer.from(`%PDF-1.7\n%\u00e2\u00e3\n${streamOf(3, 'q Q')}`, 'latin1')
  return Buffer.concat([head, objects, Buffer.from(`${streamOf(4, 'a font')}${trailer}`)])
}

function streamOf(id: number, content: string): string {
  return `${id} 0 obj\n<< /Length ${content.length} >>\nstream\n${content}\nendstream\nendobj\n`
}

/** A PDF of a few kilobytes whose object streams inflate to gigabytes. */
export function pdfBomb(): Buffer {
  const stream = objectStream('0'.repeat(64 * 1024 * 1024), '1 0')
  return Buffer.concat([
    Buffer.from('%PDF-1.7\n'),
    stream,
    Buffer.from('trailer\n<< /Root 1 0 R >>\nstartxref\n0\n%%EOF\n'),
  ])
}

function objectStream(objects: string, places: string): Buffer {
  const stored = deflateSync(`${places} ${objects}`)
  const dictionary = `<< /Type /ObjStm /N 2 /First ${places.length + 1} /Filter /FlateDecode /Length ${stored.length} >>`
  return Buffer.concat([Buffer.from(`5 0 obj\n${dictionary}\nstream\n`), stored, Buffer.from('\nendstream\nendobj\n')])
}

/** The bytes in pieces, as a socket gives them. */
export async function* inPieces(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size)
}

export async function upload(
  engine: Engine,
  bytes: Uint8Array,
  { owner = ada, ...input }: { owner?: Owner; id?: string; name?: string; sizeBytes?: number } = {},
): Promise<Attachment> {
  return await engine.attachments.upload(owner, { name: 'picture.png', ...input, bytes: inPieces(bytes) })
}

/** The whole file, as its owner reads it. */
export async function readBack(engine: Engine, id: string, { owner = ada }: { owner?: Owner } = {}): Promise<Buffer> {
  const file = await engine.attachments.open(owner, id)
  return await collect(file.read({ signal: AbortSignal.timeout(20_000) }))
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  return Buffer.concat(parts)
}

/** A prompt's block that shows the attachment. */
export function imageOf(id: string): ImageBlock {
  return { type: 'image', source: { type: 'attachment', attachment_id: id } }
}

/** A sweep when the time of every file is over that no message has named yet. */
export async function sweepUnused(database: TestDatabase): Promise<void> {
  const unused = { sweepAt: { $exists: true } }
  await dbOf(database)
    .collection('attachments')
    .updateMany(unused, { $set: { sweepAt: new Date(0) } })
  await database.storage.attachmentRepository.sweep({ maxFiles: 100, signal: AbortSignal.timeout(20_000) })
}

/** How many documents there are of each collection that holds files. */
export async function filesLeft(database: TestDatabase): Promise<Record<string, number>> {
  const names = ['attachments', 'loose_bytes', 'attachment_bytes.files', 'attachment_bytes.chunks']
  const counts = await Promise.all(names.map((name) => dbOf(database).collection(name).countDocuments()))
  return Object.fromEntries(names.map((name, at) => [name, counts[at] ?? 0]))
}

export const noFiles = { attachments: 0, loose_bytes: 0, 'attachment_bytes.files': 0, 'attachment_bytes.chunks': 0 }
