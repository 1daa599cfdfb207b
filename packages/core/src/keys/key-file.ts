/** Master keys in a file, for one machine or for a secret that an orchestrator mounts. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { VerbatimError } from '../contract/errors.ts'
import { open, seal, toHeldKey } from './seal.ts'
import type { HeldKey } from './seal.ts'
import type { KeyWrapper } from './wrapped-keys.ts'

const keyBytes = 32
const readableByOthers = 0o077

/**
 * Wraps with the keys of a file: 32 random bytes as base64, one key a line (`openssl rand -base64 32`). The first wraps, the others
 * only unwrap: to rotate, put a new line first, wrap all keys anew, then remove the old line.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`; it never quotes the file
 */
export async function readKeyFile(path: string): Promise<KeyWrapper> {
  await requirePrivate(path)
  const lines = (await readText(path)).split('\n').filter((line) => line.trim() !== '')
  const keys = lines.map((line) => toMasterKey(path, line.trim()))
  const [first] = keys
  if (first === undefined) throw badFile(path, 'holds no key; write one with: openssl rand -base64 32')
  const byId = new Map(keys.map((key) => [key.id, key]))
  return {
    id: first.id,
    wrap: (secret, context) => Promise.resolve(seal(first, context, secret)),
    async unwrap(wrapped, context, { wrapperId }) {
      const key = byId.get(wrapperId)
      if (key === undefined) throw new Error(`The key file ${path} lacks the master key ${wrapperId}`)
      const secret = open(key, context, wrapped)
      if (secret === undefined) throw new Error('A wrapped key is damaged')
      return await Promise.resolve(secret)
    },
  }
}

async function requirePrivate(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw badFile(path, 'cannot be read', error)
  })
  if (process.platform !== 'win32' && (found.mode & readableByOthers) !== 0) {
    throw badFile(path, `can be read by others; run: chmod 600 ${path}`)
  }
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw badFile(path, 'cannot be read', error)
  })
}

/** Named by a hash of itself, so that the name tells which key wrapped, and nothing else. */
function toMasterKey(path: string, line: string): HeldKey {
  const secret = Buffer.from(line, 'base64')
  if (secret.byteLength !== keyBytes || !/^[\w+/-]+={0,2}$/.test(line)) {
    throw badFile(path, `must hold ${keyBytes} random bytes as base64 a line; write one with: openssl rand -base64 32`)
  }
  const id = createHash('sha256').update('verbatim master key').update(secret).digest('base64url').slice(0, 12)
  return toHeldKey({ id, secret })
}

function badFile(path: string, what: string, cause?: unknown): VerbatimError {
  return new VerbatimError('INVALID_CONFIGURATION', `The key file ${path} ${what}`, { cause })
}
