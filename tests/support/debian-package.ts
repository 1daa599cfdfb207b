import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { promisify } from 'node:util'
import { env } from './env.ts'

const run = promisify(execFile)

/** Installs a package of Debian, which only root can. Returns false when that is not possible here, which is an answer too. */
export async function installFromDebian(name: string): Promise<boolean> {
  if (process.getuid?.() !== 0 || !(await isExecutable('/usr/bin/apt-get'))) return false
  const options = { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 300_000, maxBuffer: 64 * 1024 * 1024 }
  return await run('/usr/bin/apt-get', ['-qq', 'update'], options)
    .then(async () => await run('/usr/bin/apt-get', ['-qq', 'install', '-y', '--no-install-recommends', name], options))
    .then(
      () => true,
      () => false,
    )
}

export async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
