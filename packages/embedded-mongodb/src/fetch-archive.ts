/**
 * The way into the cache for bytes from outside: fetched into a scratch folder, held against a SHA-256 that this repository names,
 * unpacked, and moved to their place in one step. What does not match is removed, and nothing of it runs.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'

export const run = promisify(execFile)

/** A file to fetch, and the one content that is accepted under its name. */
export interface PinnedArchive {
  readonly name: string
  readonly sha256: string
}

interface FetchOptions {
  /** Where the server inside the archive goes. */
  readonly target: string
  /** Puts the archive into `folder`, under its name. */
  readonly fetch: (archive: PinnedArchive, folder: string) => Promise<void>
  /** Unpacks `file` into `folder`. */
  readonly unpack: (file: string, folder: string) => Promise<void>
}

/** Two processes may do this at once, since a move replaces the file as one. @throws Error when the content is another one */
export async function fetchArchive(archive: PinnedArchive, { target, fetch, unpack }: FetchOptions): Promise<string> {
  await mkdir(dirname(target), { recursive: true })
  const scratch = await mkdtemp(join(dirname(target), 'fetch-'))
  try {
    const file = join(scratch, archive.name)
    await fetch(archive, scratch)
    await requireContent(file, archive)
    await unpack(file, scratch)
    const binary = await findMongod(scratch, archive)
    await chmod(binary, 0o755)
    await rename(binary, target)
    return target
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function requireContent(file: string, { name, sha256 }: PinnedArchive): Promise<void> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  const found = hash.digest('hex')
  if (found !== sha256) throw new Error(`${name} has the SHA-256 ${found} instead of ${sha256}, so it was removed`)
}

async function findMongod(folder: string, { name }: PinnedArchive): Promise<string> {
  const found = (await readdir(folder, { recursive: true })).find((entry) => entry.endsWith(join('bin', 'mongod')))
  if (found === undefined) throw new Error(`${name} holds no mongod`)
  return join(folder, found)
}

/** Downloads `${base}/${name}`. A server that does not begin to answer in 5 s counts as away. */
export function httpSource(base: string): FetchOptions['fetch'] {
  return async ({ name }, folder) => {
    const url = `${base}/${name}`
    const away = new AbortController()
    const timer = setTimeout(() => away.abort(), 5_000)
    const signal = AbortSignal.any([away.signal, AbortSignal.timeout(600_000)])
    try {
      const response = await fetch(url, { signal }).finally(() => clearTimeout(timer))
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`)
      await pipeline(response.body, createWriteStream(join(folder, name)))
    } catch (error) {
      throw new Error(`${url} cannot be fetched`, { cause: error })
    }
  }
}
