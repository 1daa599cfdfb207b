import { createHash } from 'node:crypto'
import type { RunId } from '@verbatim/core'

/** Of this door alone: no other derives ids from it. */
const namespace = Buffer.from('5b0c9d6e3f1a4c7f9a2d8e4b6c1f7a30', 'hex')

/** The same id for the same names (UUID version 5): so a request that is repeated names the same run, and the same files. */
export function deriveId(...names: readonly string[]): RunId {
  const bytes = createHash('sha1').update(namespace).update(JSON.stringify(names)).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
