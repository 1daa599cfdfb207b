/** What comes before the first answer: the bytes that a page loads, and the time until a server listens with its database. Needs `pnpm build`. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { env } from '../support/env.ts'
import { openBenchDatabase } from './bench-server.ts'
import type { BenchContext, Table } from './group.ts'
import { median, round } from './statistics.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const program = fileURLToPath(new URL('../../apps/server/dist/main.js', import.meta.url))

export async function measureFirstLoad(context: BenchContext): Promise<Table[]> {
  const client = { title: 'What a page loads, gzipped (aim: at most 18 kB)', rows: clientRows() }
  if (!existsSync(program)) return [client]
  const ready = {
    title: 'From the start of a server to its first request (aim: at most 500 ms)',
    rows: await readyRows(context),
  }
  return [client, ready]
}

interface Measured {
  readonly name: string
  readonly size: number
  readonly sizeLimit: number
}

function clientRows(): Table['rows'] {
  // It fails past a limit, and says the sizes all the same.
  const { stdout } = spawnSync('pnpm', ['exec', 'size-limit', '--json'], { cwd: root, encoding: 'utf8' })
  const measured = JSON.parse(stdout) as readonly Measured[] // as size-limit writes it
  return measured.map(({ name, size, sizeLimit }) => ({
    import: name,
    kB: round(size / 1_000),
    'limit kB': sizeLimit / 1_000,
  }))
}

async function readyRows({ mongoUri, rounds }: BenchContext): Promise<Table['rows']> {
  await using database = openBenchDatabase(mongoUri)
  const times: number[] = []
  // The first start makes the collections, and Node's cache of compiled code.
  for (let nth = 0; nth <= rounds; nth++) times.push(await readyMs(mongoUri, database.databaseName))
  return [
    { start: 'the first, on an empty database', ms: Math.round(times[0] ?? Number.NaN) },
    { start: 'each later one', ms: Math.round(median(times.slice(1))) },
    { start: 'node with an empty program', ms: Math.round(await emptyMs()) },
  ]
}

async function readyMs(uri: string, databaseName: string): Promise<number> {
  const beganMs = performance.now()
  const settings = { ...env, PORT: '0', MONGODB_URI: uri, VERBATIM_DATABASE: databaseName }
  const child = spawn(process.execPath, [program], { env: settings, stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data') // the line that says where it listens
  const ms = performance.now() - beganMs
  child.kill('SIGTERM')
  await once(child, 'exit')
  return ms
}

async function emptyMs(): Promise<number> {
  const beganMs = performance.now()
  await once(spawn(process.execPath, ['-e', '0']), 'exit')
  return performance.now() - beganMs
}
