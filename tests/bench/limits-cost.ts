/** What the limits of callers cost an answer: the same load on a server without any, and on one with all of them, high enough to refuse nothing. */
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { answerOf, startChild } from './child.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import type { LoadResult } from './load.ts'
import type { ServerConfig } from './server-config.ts'
import { median, round } from './statistics.ts'

const many = 1_000_000_000
const rates = { startsPerMinute: many, bytesPerMinute: many, activeRuns: many, followers: many }

const settings = {
  off: { overload: false },
  on: { limits: { principal: { ...rates, sessions: many }, tenant: rates, process: rates }, overload: {} },
} as const satisfies Record<string, ServerConfig['options']>

type Setting = keyof typeof settings

interface Measured {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuUs: number
}

export async function measureLimits({ mongoUri, isQuick, rounds, seconds }: BenchContext): Promise<Table[]> {
  const load = { streams: isQuick ? 10 : 100, tokensPerSecond: 50, seconds }
  await using database = openBenchDatabase(mongoUri)
  const config = { uri: mongoUri, databaseName: database.databaseName }
  const measured: Record<Setting, Measured[]> = { off: [], on: [] }
  for (let nth = 0; nth <= rounds; nth++) {
    for (const setting of ['off', 'on'] as const) {
      const one = await measureOne({ ...config, options: settings[setting] }, load)
      if (nth > 0) measured[setting].push(one) // the first round warms the database up
    }
    if (nth > 0) say(`round ${nth} of ${rounds} is done`)
  }
  const of = (setting: Setting, field: keyof Measured) => median(measured[setting].map((one) => one[field]))
  const rows = (['off', 'on'] as const).map((setting) => ({
    limits: setting,
    runs: load.streams,
    'p50 ms': round(of(setting, 'p50Ms')),
    'p99 ms': round(of(setting, 'p99Ms')),
    'server CPU µs/token': round(of(setting, 'cpuUs')),
    'CPU ratio': round(of(setting, 'cpuUs') / of('off', 'cpuUs')),
  }))
  return [
    { title: 'Limits of callers and the bound of overload, off and on, at 50 tokens/s (aim: no difference)', rows },
  ]
}

async function measureOne(config: ServerConfig, load: object): Promise<Measured> {
  await using server = await BenchServer.start(config)
  const clients = startChild('./load.ts', [String(server.port)])
  await answerOf(clients)
  const before = await server.use()
  clients.send({ subject: 'verbatim', load })
  const { p50Ms, p99Ms, tokens } = await answerOf<LoadResult>(clients)
  const cpuMs = (await server.use()).cpuMs - before.cpuMs
  clients.disconnect()
  await server.stop()
  return { p50Ms, p99Ms, cpuUs: (cpuMs * 1_000) / tokens }
}
