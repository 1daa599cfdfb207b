/**
 * Counts the pages of a PDF while its bytes pass. In: pieces of the file. Out: the number that the root of its page tree says. It holds
 * one dictionary or one object stream, and inflates no other stream, so what a file holds beside its page tree costs nothing. A file
 * that inflates to more than a bound is refused.
 */
import { promisify } from 'node:util'
import { inflate } from 'node:zlib'
import { VerbatimError } from '../contract/errors.ts'

const inflateWithin = promisify(inflate)

/** A dictionary that is longer is not one of the page tree's. */
const maxHeldBytes = 64 * 1024
/** Of one object stream; writers put about 200 objects into one. */
const maxStreamBytes = 8 * 1024 * 1024
/** Of all object streams: more than a real file of the largest size has. */
const maxInflatedBytes = 64 * 1024 * 1024
/** Nodes of the page tree. */
const maxNodes = 65_536

const endOfStream = Buffer.from('endstream')
/** Where a dictionary ends, or a stream begins. The end of a stream is no beginning. */
const boundary = /endobj|startxref|(?<!end)stream(?:\r\n|\n|\r)/g

type Mode =
  | { readonly type: 'objects' }
  /** Inside a stream: `left` bytes of it, or all up to its keyword where its length is not said. */
  | {
      readonly type: 'stream'
      left: number | undefined
      readonly kept: Buffer[] | undefined
      readonly dictionary: string
    }

export class PdfPages {
  #mode: Mode = { type: 'objects' }
  #held: Buffer = Buffer.alloc(0)
  #inflatedBytes = 0
  #root: number | undefined
  #isEncrypted = false
  readonly #treeOf = new Map<number, number>()
  readonly #countOf = new Map<number, number>()

  /** @throws VerbatimError `ATTACHMENT_REFUSED` when the file inflates to more than a bound */
  async write(piece: Uint8Array): Promise<void> {
    this.#held = Buffer.concat([this.#held, piece])
    while ((await (this.#mode.type === 'objects' ? this.#readObjects() : this.#readStream(this.#mode))) === 'more')
      continue
  }

  /** Null when the file is encrypted or is not built as a PDF is. */
  count(): number | null {
    if (this.#isEncrypted || this.#countOf.size === 0) return null
    const tree = this.#root === undefined ? undefined : this.#treeOf.get(this.#root)
    const count = tree === undefined ? undefined : this.#countOf.get(tree)
    const pages = count ?? Math.max(...this.#countOf.values())
    return pages > 0 && pages < 1_000_000 ? pages : null
  }

  async #readObjects(): Promise<'more' | 'done'> {
    const text = this.#held.toString('latin1')
    boundary.lastIndex = 0
    const end = boundary.exec(text)
    // A keyword at the very end may go on in the next piece.
    if (end === null || boundary.lastIndex === text.length) {
      if (this.#held.byteLength > maxHeldBytes) this.#held = this.#held.subarray(-maxHeldBytes / 2)
      return 'done'
    }
    const dictionary = text.slice(Math.max(0, end.index - maxHeldBytes), end.index)
    this.#held = this.#held.subarray(boundary.lastIndex)
    this.#readTrailer(dictionary)
    const number = /(\d+)\s+\d+\s+obj\b(?![\s\S]*\d\s+obj\b)/.exec(dictionary)?.[1]
    if (number !== undefined) this.#readObject(Number(number), dictionary)
    if (end[0].startsWith('stream')) this.#mode = openStream(dictionary)
    return 'more'
  }

  async #readStream(stream: Extract<Mode, { type: 'stream' }>): Promise<'more' | 'done'> {
    const said = stream.left === undefined ? this.#held.indexOf(endOfStream) : stream.left
    // Of a keyword that may be cut, a part stays.
    const available = said === -1 ? Math.max(0, this.#held.byteLength - endOfStream.byteLength) : said
    const taken = this.#held.subarray(0, available)
    this.#keep(stream, taken)
    this.#held = this.#held.subarray(taken.byteLength)
    if (stream.left !== undefined) stream.left -= taken.byteLength
    if (said === -1 || (stream.left ?? 0) > 0) return 'done'
    this.#mode = { type: 'objects' }
    if (stream.kept !== undefined) await this.#readObjectStream(stream.dictionary, Buffer.concat(stream.kept))
    return 'more'
  }

  #keep({ kept }: Extract<Mode, { type: 'stream' }>, taken: Buffer): void {
    if (kept === undefined || taken.byteLength === 0) return
    kept.push(taken)
    if (kept.reduce((sum, { byteLength }) => sum + byteLength, 0) > maxStreamBytes) throw tooMuch()
  }

  async #readObjectStream(dictionary: string, stored: Buffer): Promise<void> {
    const inflated = /\/FlateDecode\b|\/Fl\b/.test(dictionary) ? await this.#inflate(stored) : stored
    const first = Number(/\/First\s+(\d+)/.exec(dictionary)?.[1] ?? Number.NaN)
    if (inflated === undefined || !(first <= inflated.byteLength)) return
    if (!inflated.includes('/Pages') && !inflated.includes('/Catalog')) return
    const places = inflated.toString('latin1', 0, first).trim().split(/\s+/).map(Number)
    for (let at = 0; at + 1 < places.length; at += 2) {
      const [number = 0, from = 0, , to = inflated.byteLength - first] = places.slice(at, at + 4)
      const end = Math.min(first + to, first + from + maxHeldBytes)
      this.#readObject(number, inflated.toString('latin1', first + from, end))
    }
  }

  /** Undefined for what is no deflated data. */
  async #inflate(stored: Buffer): Promise<Buffer | undefined> {
    try {
      const inflated = await inflateWithin(stored, { maxOutputLength: maxStreamBytes })
      this.#inflatedBytes += inflated.byteLength
      if (this.#inflatedBytes > maxInflatedBytes) throw tooMuch()
      return inflated
    } catch (error) {
      const isTooLong = error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
      if (isTooLong) throw tooMuch()
      if (error instanceof VerbatimError) throw error
      return undefined
    }
  }

  #readTrailer(text: string): void {
    const root = /\/Root\s+(\d+)\s+\d+\s+R/.exec(text)?.[1]
    if (root !== undefined) this.#root = Number(root)
    if (root !== undefined && /\/Encrypt\b/.test(text)) this.#isEncrypted = true
  }

  /** The newest object of a number counts: a file that was changed has its new objects after the old ones. */
  #readObject(number: number, text: string): void {
    if (/\/Type\s*\/Catalog\b/.test(text)) {
      const tree = /\/Pages\s+(\d+)\s+\d+\s+R/.exec(text)?.[1]
      if (tree !== undefined) this.#treeOf.set(number, Number(tree))
    }
    if (/\/Type\s*\/Pages\b/.test(text)) {
      const count = /\/Count\s+(\d+)/.exec(text)?.[1]
      if (count !== undefined) this.#countOf.set(number, Number(count))
    }
    if (this.#treeOf.size + this.#countOf.size > maxNodes) throw tooMuch()
  }
}

function openStream(dictionary: string): Mode {
  const length = /\/Length\s+(\d+)(?!\s+\d+\s+R)/.exec(dictionary)?.[1]
  const isObjects = /\/Type\s*\/ObjStm\b/.test(dictionary)
  return {
    type: 'stream',
    left: length === undefined ? undefined : Number(length),
    kept: isObjects ? [] : undefined,
    dictionary,
  }
}

function tooMuch(): VerbatimError {
  return new VerbatimError(
    'ATTACHMENT_REFUSED',
    'The PDF holds more than the server unpacks; save it anew and send that',
    {
      data: { kind: 'unreadable' },
    },
  )
}
