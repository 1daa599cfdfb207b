import { createHash } from 'node:crypto'

const fingerprintLength = 22

/** A short name for `parts`, which other parts do not have. */
export function fingerprintOf(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  // Their lengths too, or a part could end where another one begins.
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('base64url').slice(0, fingerprintLength)
}
