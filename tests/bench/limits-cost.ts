/** What the limits of callers cost an answer: the same load on a server without any, and on one with all of them, high enough to refuse nothing. */
import type { ChildProcess } from 'node:child_process'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { answerOf, startChild } from './child.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import type { LoadResult } from './load.ts'
import type { ServerConfig } from './server-config.ts'
import { median, round } from './statistics.ts'
import type { Workload } from './workload.ts'

const many = 1_000_000_000
const rates = { startsPerMinute: many, bytesPerMinute: many, activeRuns: many, followers: many }

const settings = {
  off: { overload: false },
  on: { limits: { principal: { ...rates, sessions: many }, tenant: rates, process: rates }, overload: {} },
} as const satisfies Record<string, ServerConfig['options']>

interface Measured {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuUs: number
}

/** A difference of a few percent needs more rounds than the other groups have. */
const roundsPerRound = 3

export async function measureLimits({ mongoUri, isQuick, rounds, seconds }: BenchContext): Promise<Table[]> {
  const load = { streams: isQuick ? 10 : 100, tokensPerSecond: 50, seconds }
  await using database = openBenchDatabase(mongoUri)
  const config = { uri: mongoUri, databaseName: database.databaseName }
  await using off = await Subject.start({ ...config, options: settings.off })
  await using on = await Subject.start({ ...config, options: settings.on })
  // The first round warms up.
  for (let nth = 0; nth <= roundsPerRound * rounds; nth++) {
    // In turn, and each as often the first of the two: what the machine does else meets both.
    for (const subject of nth % 2 === 0 ? [off, on] : [on, off]) {
      const one = await subject.measure(load)
      if (nth > 0) subject.measured.push(one)
    }
    say(`round ${nth} of ${roundsPerRound * rounds} is done`)
  }
  const mid = (measured: readonly Measured[], field: keyof Measured) => median(measured.map((one) => one[field]))
  const rows = Object.entries({ off, on }).map(([limits, { measured }]) => ({
    limits,
    runs: load.streams,
    rounds: measured.length,
    'p50 ms': round(mid(measured, 'p50Ms')),
    'p99 ms': round(mid(measured, 'p99Ms')),
    'server CPU µs/token': round(mid(measured, 'cpuUs')),
    // Of each pair of rounds, which is steadier than the ratio of the medians.
    'CPU ratio': round(median(measured.map(({ cpuUs }, nth) => cpuUs / (off.measured[nth]?.cpuUs ?? Number.NaN)))),
  }))
  await off.stop()
  await on.stop()
  return [
    { title: 'Limits of callers and the bound of overload, off and on, at 50 tokens/s (aim: no difference)', rows },
  ]
}

/** A server and its clients. */
class Subject implements AsyncDisposable {
  readonly measured: Measured[] = []
  readonly #server: BenchServer
  readonly #clients: ChildProcess

  private constructor(server: BenchServer, clients: ChildProcess) {
    this.#server = server
    this.#clients = clients
  }

  static async start(config: ServerConfig): Promise<Subject> {
    const server = await BenchServer.start(config)
    const clients = startChild('./load.ts', [String(server.port)])
    await answerOf(clients)
    return new Subject(server, clients)
  }

  async measure(load: Workload): Promise<Measured> {
    const before = await this.#server.use()
    this.#clients.send({ subject: 'verbatim', load })
    const { p50Ms, p99Ms, tokens } = await answerOf<LoadResult>(this.#clients)
    const cpuMs = (await this.#server.use()).cpuMs - before.cpuMs
    return { p50Ms, p99Ms, cpuUs: (cpuMs * 1_000) / tokens }
  }

  async stop(): Promise<void> {
    this.#clients.disconnect()
    await this.#server.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.kill()
  }
}
