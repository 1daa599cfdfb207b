/** Opens the database: the one of `MONGODB_URI`, or a real MongoDB started here that keeps its data in a folder. */
import { resolve } from 'node:path'
import type { Environment, ProcessEnvironment } from './env.ts'

/** The database; `place` says where it is, in the words of the start message. */
export interface OpenDatabase {
  readonly uri: string
  readonly place: string
  /** True for one that was started here, for this server alone. */
  readonly isOwn: boolean
  close(): Promise<void>
}

export interface OpenDatabaseOptions {
  /** The whole environment, to find a mongod with. */
  readonly processEnv: ProcessEnvironment
  readonly signal: AbortSignal
  /** Called with a line to show when a step is slow. */
  readonly onSlow: (line: string) => void
}

/** @throws one sentence when no MongoDB can be found, fetched or started */
export async function openDatabase(env: Environment, options: OpenDatabaseOptions): Promise<OpenDatabase> {
  const { MONGODB_URI: uri, VERBATIM_DATABASE: name } = env
  if (uri !== undefined) {
    const place = `database ${name} of ${withoutCredentials(uri)}`
    return { uri, place, isOwn: false, close: () => Promise.resolve() }
  }
  const { signal, onSlow } = options
  // Only here: a server with a database of yours starts none.
  const { findMongod, startMongod } = await import('@verbatim/embedded-mongodb')
  const binary = await sayWhenSlow(findMongod({ env: options.processEnv, signal }), {
    line: 'Fetching a MongoDB server, once; set MONGODB_URI to use your own …',
    onSlow,
  })
  const dataDir = resolve(env.VERBATIM_DATA_DIR, 'mongodb')
  const found = { ...options.processEnv, MONGOMS_SYSTEM_BINARY: binary }
  const mongod = await sayWhenSlow(startMongod({ env: found, dataDir, signal }), {
    line: `Starting MongoDB in ${dataDir} …`,
    onSlow,
  })
  return { uri: mongod.uri, place: `database ${name} in ${dataDir}`, isOwn: true, close: () => mongod.stop() }
}

const slowMs = 1_500
const repeatMs = 15_000

async function sayWhenSlow<TResult>(
  step: Promise<TResult>,
  { line, onSlow }: { line: string; onSlow: (line: string) => void },
): Promise<TResult> {
  const startedAt = performance.now()
  let repeat: NodeJS.Timeout | undefined
  const first = setTimeout(() => {
    onSlow(line)
    repeat = setInterval(() => onSlow(`  ${Math.round((performance.now() - startedAt) / 1000)} s so far …`), repeatMs)
  }, slowMs)
  try {
    return await step
  } finally {
    clearTimeout(first)
    clearInterval(repeat)
  }
}

/** Keeps the hosts only: a URI may hold a password, also in its options. */
function withoutCredentials(uri: string): string {
  return uri.replace(/^(mongodb(?:\+srv)?:\/\/)(?:.*@)?([^/?]*).*$/s, '$1$2')
}
