/**
 * `useChat` sends the whole conversation with every request. The history is the server's, so all messages but the last are dropped while
 * the body comes: memory grows with one message, not with the conversation (P6).
 */
import { errorOf, VerbatimError } from '@verbatim/core'

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/** The list, as a key of the body. */
const listKey = '"messages"'
/** No longer key is of interest. */
const maxKeyBytes = 64

/**
 * The body's text, with the last element of its `messages` alone. Text that is no JSON comes back as no JSON.
 *
 * @throws VerbatimError `PAYLOAD_TOO_LARGE` when what is kept is over `maxBytes`, `INVALID_INPUT` when it is not UTF-8
 */
export async function withLastMessage(bytes: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const scanner = new BodyScanner(maxBytes)
  for await (const chunk of bytes) scanner.add(chunk)
  return scanner.text()
}

/** Structure is ASCII in UTF-8, so bytes are enough to find it. */
class BodyScanner {
  readonly #maxBytes: number
  /** All but the messages, and then the last of them. */
  readonly #kept = new ByteList()
  readonly #message = new ByteList()
  #depth = 0
  #isInString = false
  #isEscaped = false
  #isInList = false
  /** The last string of the body's own level, while it may be a key. */
  #key = ''
  #isKey = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(chunk: Uint8Array): void {
    let from = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      const wasInList = this.#isInList
      const isSeparator = this.#step(byte)
      if (wasInList && isSeparator) {
        this.#message.clear()
        from = at + 1
      } else if (wasInList !== this.#isInList) {
        const end = this.#isInList ? at + 1 : at // the brackets are kept
        this.#put(wasInList, chunk.subarray(from, end))
        if (wasInList) this.#kept.take(this.#message)
        from = end
      }
    }
    this.#put(this.#isInList, chunk.subarray(from))
  }

  text(): string {
    this.#kept.take(this.#message) // a list that does not end: no JSON
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.#kept.bytes())
    } catch (cause) {
      throw new VerbatimError('INVALID_INPUT', 'The body is not UTF-8 text', { data: { field: '' }, cause })
    }
  }

  #put(isMessage: boolean, bytes: Uint8Array): void {
    if (isMessage) this.#message.add(bytes)
    else this.#kept.add(bytes)
    if (this.#kept.length + this.#message.length <= this.#maxBytes) return
    throw errorOf('PAYLOAD_TOO_LARGE', { data: { maxBytes: this.#maxBytes } })
  }

  /** Follows the structure by one byte. True between two messages. */
  #step(byte: number): boolean {
    if (this.#isInString) {
      this.#stepInString(byte)
      return false
    }
    switch (byte) {
      case quote:
        this.#isInString = true
        this.#isKey = this.#depth === 1
        if (this.#isKey) this.#key = '"'
        return false
      case openBrace:
      case openBracket:
        this.#depth++
        if (byte === openBracket && this.#depth === 2 && this.#key === `${listKey}:`) this.#isInList = true
        return false
      case closeBrace:
      case closeBracket:
        this.#depth--
        if (this.#isInList && this.#depth === 1) this.#isInList = false
        return false
      case colon:
        if (this.#depth === 1) this.#key += ':'
        return false
      case comma:
        if (this.#depth === 1) this.#key = ''
        return this.#isInList && this.#depth === 2
      default:
        return false
    }
  }

  #stepInString(byte: number): void {
    if (this.#isKey && this.#key.length < maxKeyBytes) this.#key += String.fromCharCode(byte)
    if (this.#isEscaped) this.#isEscaped = false
    else if (byte === backslash) this.#isEscaped = true
    else if (byte === quote) this.#isInString = false
  }
}

class ByteList {
  #parts: Uint8Array[] = []
  length = 0

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#parts.push(bytes)
    this.length += bytes.length
  }

  /** Takes all of `other`, and leaves it empty. */
  take(other: ByteList): void {
    for (const part of other.#parts) this.add(part)
    other.clear()
  }

  clear(): void {
    this.#parts = []
    this.length = 0
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}
