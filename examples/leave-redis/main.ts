/** Copies the app, applies the patch, removes what it no longer needs, and starts it; with `--test` it runs the app's own tests. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const here = import.meta.dirname
const copy = mkdtempSync(join(tmpdir(), 'leave-redis-'))
try {
  cpSync(join(here, 'app'), copy, { recursive: true })
  symlinkSync(join(here, '../node_modules'), join(copy, 'node_modules'), 'junction')
  execFileSync('git', ['apply', '--unsafe-paths', join(here, 'leave-redis.patch')], { cwd: copy })
  rmSync(join(copy, 'chat.ts'))

  const file = process.argv.includes('--test') ? ['--test', 'server.test.ts'] : ['server.ts']
  // Of a model's address the AI SDK wants the version too.
  const address = process.env['ANTHROPIC_BASE_URL']
  const env = { ...process.env, ...(address === undefined ? {} : { ANTHROPIC_BASE_URL: `${address}/v1` }) }
  const child = spawn(process.execPath, [...process.execArgv, ...file], { cwd: copy, env, stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const [code] = await once(child, 'exit')
  process.exitCode = typeof code === 'number' ? code : 1
} finally {
  rmSync(copy, { recursive: true, force: true })
}
