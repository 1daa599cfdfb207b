/** Wrapped keys as files of a folder, one an owner: for processes that share a disk. A fleet uses a store of its own. */
import { link, mkdir, mkdtemp, open, opendir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { VerbatimError } from '../contract/errors.ts'
import type { KeyStore, WrappedKey } from './wrapped-keys.ts'

/** Tells the folder of the keys from an empty one, in which every key would seem destroyed: a volume that is not mounted. */
const markerName = 'verbatim-keys'
const suffix = '.key'

/**
 * Opens the folder, and makes it when there is none. Keep it out of the database's backups.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION` when the folder is another one's: it is there, and without the marker
 */
export async function openKeyDirectory(directory: string): Promise<KeyStore> {
  await requireMarker(resolve(directory))
  const fileOf = (name: string) => {
    if (!/^[\w-]{16}$/.test(name)) throw new Error('Not the name of a key')
    return join(directory, `${name}${suffix}`)
  }
  return {
    read: async (name) => await readKey(fileOf(name)),
    create: async (name, key) => await createFile(directory, fileOf(name), key),
    rewrap: async (name, key) => await overwrite(fileOf(name), key),
    async remove(name) {
      await unlink(fileOf(name)).catch(ignoreMissing)
      await syncDirectory(directory)
    },
    async *names() {
      for await (const entry of await opendir(directory)) {
        if (entry.name.endsWith(suffix)) yield entry.name.slice(0, -suffix.length)
      }
    },
  }
}

async function requireMarker(directory: string): Promise<void> {
  const marker = join(directory, markerName)
  try {
    const isThere = (await stat(directory).catch(ignoreMissing)) !== undefined
    if (!isThere) await makeFolder(directory)
    await stat(marker)
  } catch (cause) {
    throw new VerbatimError(
      'INVALID_CONFIGURATION',
      `The folder ${directory} does not hold the keys of content: it lacks the file ${markerName}. Name a new folder, or the one that was used before`,
      { cause },
    )
  }
}

/** Made whole under another name: two processes may do so at once, and neither sees a folder without its marker. */
async function makeFolder(directory: string): Promise<void> {
  const parent = dirname(directory)
  await mkdir(parent, { recursive: true, mode: 0o700 })
  const draft = await mkdtemp(join(parent, '.verbatim-keys-'))
  await writeFile(
    join(draft, markerName),
    'Keys of content, one file an owner. Keep them out of the backups of the database.\n',
  )
  await rename(draft, directory).catch(async (error: unknown) => {
    await rm(draft, { recursive: true })
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error
  })
}

async function readKey(file: string): Promise<WrappedKey | undefined> {
  const text = await readFile(file, 'latin1').catch(ignoreMissing)
  if (text === undefined) return undefined
  const [, id, wrapperId, wrapped] = form.exec(text) ?? []
  if (id === undefined || wrapperId === undefined || wrapped === undefined)
    throw new Error(`The key ${file} is damaged`)
  return { id, wrapperId, wrapped: Buffer.from(wrapped, 'base64url') }
}

const maxTextLength = 511

const form = /^1 (\S+) (\S+) (\S+) *\n$/

/** Of one length whatever the wrapper, within one sector: written over, it is the old key or the new one, never half of each. */
function toText({ id, wrapperId, wrapped }: WrappedKey): string {
  const text = `1 ${id} ${wrapperId} ${Buffer.from(wrapped).toString('base64url')}`
  if (text.length > maxTextLength) throw new Error('The wrapped key is too long for a file of the folder')
  return `${text.padEnd(maxTextLength)}\n`
}

/** A link takes a name only when it is free, and the file is whole before it has the name. */
async function createFile(directory: string, file: string, key: WrappedKey): Promise<boolean> {
  const draft = join(directory, `${crypto.randomUUID()}.tmp`)
  try {
    await writeFile(draft, toText(key), { mode: 0o600, flag: 'wx', flush: true })
    await link(draft, file)
    await syncDirectory(directory)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** In place: a new file under the name would bring back a key that was removed meanwhile. */
async function overwrite(file: string, key: WrappedKey): Promise<void> {
  const opened = await open(file, 'r+').catch(ignoreMissing)
  if (opened === undefined) return
  try {
    await opened.write(toText(key), 0)
    await opened.sync()
  } finally {
    await opened.close()
  }
}

/** A name is durable when its folder is written. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  const opened = await open(directory, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}

function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
  return undefined
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
