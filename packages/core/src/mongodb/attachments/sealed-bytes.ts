/**
 * A file's bytes, sealed part by part, so that a range of them opens alone and no file is held whole. Each part has its number in its
 * place: parts that are left out, doubled or moved do not open.
 */
import { cutBytes } from '../../async/cut-bytes.ts'
import type { ByteRange, BytesKey } from '../../ports/attachment-store.ts'
import type { BytesOpener, BytesSealer } from '../schema/content-cipher.ts'

/** Of one part, before it is sealed. */
const partBytes = 64 * 1024

/** What sealing adds to a part: version, length of the key's id, the id, nonce, tag (see keys/seal.ts). */
function overheadOf(keyId: string): number {
  return 2 + keyId.length + 12 + 16
}

export async function* sealBytes(
  sealer: BytesSealer,
  key: BytesKey,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let part = 0
  for await (const piece of cutBytes(bytes, partBytes)) yield sealer.seal(key, part++, piece)
}

interface SealedRange {
  readonly open: BytesOpener
  readonly keyId: string
  /** Of the bytes in clear. */
  readonly sizeBytes: number
  readonly range: ByteRange
}

/** The range in clear, from what `read` answers of the sealed bytes. */
export async function* openBytes(
  { open, keyId, sizeBytes, range: { start, end } }: SealedRange,
  read: (range: ByteRange) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const sealedPart = partBytes + overheadOf(keyId)
  const sealedSize = sizeBytes + Math.ceil(sizeBytes / partBytes) * overheadOf(keyId)
  let part = Math.floor(start / partBytes)
  const sealedEnd = Math.min(Math.ceil(end / partBytes) * sealedPart, sealedSize)
  for await (const sealed of cutBytes(read({ start: part * sealedPart, end: sealedEnd }), sealedPart)) {
    const from = part * partBytes
    yield open(part, sealed).subarray(Math.max(0, start - from), end - from)
    part++
  }
}
