/**
 * Runs an example as `npm run example -- basic-streaming` does, with what it needs and you may not have: a MongoDB, and a model without
 * a key. `MONGODB_URI`, `ANTHROPIC_API_KEY` and `ANTHROPIC_BASE_URL` are used when they are set.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import { startDemoModel } from '@verbatim/server/demo-model'

const [name = '', program = 'main', ...args] = process.argv.slice(2)
const file = join(import.meta.dirname, name, `${program}.ts`)
if (name === '' || !existsSync(file)) {
  const known = globSync('*/README.md', { cwd: import.meta.dirname }).map((readme) => readme.split(/[/\\]/)[0])
  throw new Error(`Name an example: ${known.join(', ')}`)
}

await using started = new AsyncDisposableStack()
const database = await resolveMongoUri({ env: process.env, port: 0 })
started.defer(async () => await database.stop())
const model: Record<string, string> = {}
if (process.env['ANTHROPIC_API_KEY'] === undefined && process.env['ANTHROPIC_BASE_URL'] === undefined) {
  const demo = await startDemoModel({ tokensPerSecond: 200 })
  started.defer(async () => await demo.close())
  Object.assign(model, { ANTHROPIC_BASE_URL: demo.baseURL, ANTHROPIC_API_KEY: 'demo' })
}

const child = spawn(process.execPath, ['--conditions=verbatim-source', file, ...args], {
  stdio: 'inherit',
  env: { ...process.env, ...model, MONGODB_URI: database.uri },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
const [code] = await once(child, 'exit')
process.exitCode = typeof code === 'number' ? code : 1
