/**
 * Looks at a file while its bytes pass: what type it is, how long, its hash, and a PDF's pages. In: the bytes as they come. Out: the same
 * bytes, and the facts when the last one has passed. What the server does not take is refused at the first byte that tells.
 */
import { createHash } from 'node:crypto'
import { fileTypeFromBuffer } from 'file-type'
import { VerbatimError } from '../contract/errors.ts'
import type { AttachmentFacts } from '../ports/attachment-repository.ts'
import { PdfPages } from './pdf-pages.ts'

/** What `file-type` looks at to tell a type. */
const headBytes = 4_100

const plainText = 'text/plain'
const pdf = 'application/pdf'

export interface UploadRules {
  readonly maxBytes: number
  readonly mediaTypes: readonly string[]
}

export interface InspectedUpload {
  readonly bytes: AsyncIterable<Uint8Array>
  /** Only after the last byte. */
  readonly facts: () => AttachmentFacts
}

/**
 * Reads the beginning, and refuses a file of another type before anything is stored.
 *
 * @throws VerbatimError `ATTACHMENT_REFUSED`; the bytes throw it too, and `PAYLOAD_TOO_LARGE`
 */
export async function inspectUpload(bytes: AsyncIterable<Uint8Array>, rules: UploadRules): Promise<InspectedUpload> {
  const reader = bytes[Symbol.asyncIterator]()
  const head = await readHead(reader)
  const mediaType = await typeOf(head)
  if (mediaType === undefined || !rules.mediaTypes.includes(mediaType)) {
    await reader.return?.()
    throw refused('type', `The server takes files of these types: ${rules.mediaTypes.join(', ')}`)
  }
  const inspection = new Inspection(mediaType, rules)
  return { bytes: inspection.pass(joined(head, reader)), facts: () => inspection.facts() }
}

class Inspection {
  readonly #mediaType: string
  readonly #maxBytes: number
  readonly #hash = createHash('sha256')
  readonly #text: TextDecoder | undefined
  readonly #pages: PdfPages | undefined
  #sizeBytes = 0
  #sha256 = ''

  constructor(mediaType: string, { maxBytes }: UploadRules) {
    this.#mediaType = mediaType
    this.#maxBytes = maxBytes
    this.#text = mediaType === plainText ? new TextDecoder('utf-8', { fatal: true }) : undefined
    this.#pages = mediaType === pdf ? new PdfPages() : undefined
  }

  async *pass(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of bytes) {
      this.#sizeBytes += chunk.byteLength
      if (this.#sizeBytes > this.#maxBytes) throw tooLarge(this.#maxBytes)
      this.#hash.update(chunk)
      this.#checkText(chunk)
      await this.#pages?.write(chunk)
      yield chunk
    }
    this.#checkText()
    this.#sha256 = this.#hash.digest('hex')
  }

  facts(): AttachmentFacts {
    const pages = this.#pages?.count() ?? null
    return { mediaType: this.#mediaType, sizeBytes: this.#sizeBytes, sha256: this.#sha256, pages }
  }

  #checkText(chunk?: Uint8Array): void {
    try {
      const text = this.#text?.decode(chunk, { stream: chunk !== undefined })
      if (text?.includes('\0') === true) throw new TypeError('NUL')
    } catch (cause) {
      throw refused('type', 'The file begins as text and does not go on as UTF-8', cause)
    }
  }
}

export function tooLarge(maxBytes: number): VerbatimError {
  return new VerbatimError('PAYLOAD_TOO_LARGE', `The file is over ${maxBytes} bytes; send a smaller one`, {
    data: { maxBytes },
  })
}

function refused(kind: string, message: string, cause?: unknown): VerbatimError {
  return new VerbatimError('ATTACHMENT_REFUSED', message, { data: { kind }, ...(cause === undefined ? {} : { cause }) })
}

async function readHead(reader: AsyncIterator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let length = 0
  while (length < headBytes) {
    const { done, value } = await reader.next()
    if (done === true) break
    parts.push(value)
    length += value.byteLength
  }
  if (length === 0) throw refused('empty', 'The file is empty')
  return Buffer.concat(parts)
}

async function typeOf(head: Buffer): Promise<string | undefined> {
  const found = (await fileTypeFromBuffer(head.subarray(0, headBytes)))?.mime
  const isOfText = found === undefined || found.startsWith('text/') || found === 'application/xml'
  if (!isOfText) return found
  return isText(head.subarray(0, headBytes)) ? plainText : undefined
}

/** The last bytes may be a part of a character. */
function isText(head: Buffer): boolean {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    // oxlint-disable-next-line no-control-regex -- control characters that no text file has
    return !/[\u0000-\u0008\u000E-\u001A\u001C-\u001F]/.test(text)
  } catch {
    return false // not UTF-8, so not text
  }
}

async function* joined(head: Uint8Array, reader: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield head
    while (true) {
      const { done, value } = await reader.next()
      if (done === true) return
      yield value
    }
  } finally {
    await reader.return?.()
  }
}
