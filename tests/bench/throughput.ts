/** What durability costs: the delay it adds, and the most that one process stores and delivers, next to a bare writer that stores nothing. */
import type { ChildProcess } from 'node:child_process'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { answerOf, startChild } from './child.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import type { LoadResult, Subject } from './load.ts'
import { median, round } from './statistics.ts'
import type { Workload } from './workload.ts'

interface Measured extends LoadResult {
  /** Time on the CPU of the server's process, in milliseconds. */
  readonly serverCpuMs: number
  readonly commits: number
}

/** The medians of one workload's rounds. */
interface Compared {
  readonly load: Workload
  readonly ours: Measured
  readonly plain: Measured
}

export async function measureDelay(context: BenchContext): Promise<Table[]> {
  const { seconds } = context
  const loads = [1, 20, 100].map((streams): Workload => ({ streams, tokensPerSecond: 50, seconds }))
  const rows = (await compare(context, loads)).map(({ load, ours, plain }) => ({
    'runs of 50 tokens/s': load.streams,
    'p50 ms': round(ours.p50Ms),
    'p99 ms': round(ours.p99Ms),
    'plain p50 ms': round(plain.p50Ms),
    'plain p99 ms': round(plain.p99Ms),
    'p50 added ms': round(ours.p50Ms - plain.p50Ms),
    'p99 added ms': round(ours.p99Ms - plain.p99Ms),
    'p50 ratio': round(ours.p50Ms / plain.p50Ms),
    'tokens per commit': round(ours.tokens / ours.commits),
    'server CPU µs/token': round((ours.serverCpuMs * 1_000) / ours.tokens),
    'plain CPU µs/token': round((plain.serverCpuMs * 1_000) / plain.tokens),
  }))
  const title = 'Delay of a token, from the agent to the client (aim at 20 runs: p50 at most 10 ms, p99 at most 50 ms)'
  return [{ title, rows }]
}

export async function measureSaturation(context: BenchContext): Promise<Table[]> {
  const load: Workload = { streams: 100, tokensPerSecond: null, seconds: context.seconds }
  const rows = (await compare(context, [load])).map(({ ours, plain }) => ({
    runs: load.streams,
    'durable tokens/s': Math.round(ours.tokensPerSecond),
    'plain tokens/s': Math.round(plain.tokensPerSecond),
    ratio: round(ours.tokensPerSecond / plain.tokensPerSecond),
    'server CPU µs/token': round((ours.serverCpuMs * 1_000) / ours.tokens),
    'plain CPU µs/token': round((plain.serverCpuMs * 1_000) / plain.tokens),
    'p50 ms': round(ours.p50Ms),
    'tokens per commit': round(ours.tokens / ours.commits),
  }))
  return [{ title: 'Tokens stored and delivered by one server process (aim: at least 10,000 a second)', rows }]
}

async function compare(context: BenchContext, loads: readonly Workload[]): Promise<Compared[]> {
  const { mongoUri, rounds, isProfiled } = context
  await using database = openBenchDatabase(mongoUri)
  const config = { uri: mongoUri, databaseName: database.databaseName }
  const profile = ['--cpu-prof', '--cpu-prof-dir=test-results/bench-profile']
  await using server = await BenchServer.start(config, isProfiled ? profile : [])
  const clients = startChild('./load.ts', [String(server.port)])
  await answerOf(clients)
  // A profile is of the server's own work, so the plain rounds are left out of it.
  const subjects: readonly Subject[] = isProfiled ? ['verbatim'] : ['verbatim', 'plain']
  const pair = { server, clients }
  await measureRound(pair, { subjects, loads: loads.map((load) => ({ ...load, seconds: 0.5 })) }) // warm-up
  const all: Measured[][][] = []
  for (let nth = 1; nth <= rounds; nth++) {
    all.push(await measureRound(pair, { subjects, loads }))
    say(`round ${nth} of ${rounds} is done`)
  }
  clients.disconnect()
  await server.stop()
  const mediansOf = (load: number, subject: number) => mediansIn(all.flatMap((one) => one[load]?.[subject] ?? []))
  return loads.map((load, at) => ({ load, ours: mediansOf(at, 0), plain: mediansOf(at, 1) }))
}

interface Pair {
  readonly server: BenchServer
  readonly clients: ChildProcess
}

/** By load, then by subject. */
async function measureRound(
  pair: Pair,
  { subjects, loads }: { subjects: readonly Subject[]; loads: readonly Workload[] },
): Promise<Measured[][]> {
  const all: Measured[][] = []
  for (const load of loads) {
    const measured: Measured[] = []
    for (const subject of subjects) measured.push(await measure(pair, { subject, load }))
    all.push(measured)
  }
  return all
}

async function measure(
  { server, clients }: Pair,
  message: { readonly subject: Subject; readonly load: Workload },
): Promise<Measured> {
  const before = await server.use()
  clients.send(message)
  const result = await answerOf<LoadResult>(clients)
  const after = await server.use()
  return { ...result, serverCpuMs: after.cpuMs - before.cpuMs, commits: after.commits - before.commits }
}

function mediansIn(measured: readonly Measured[]): Measured {
  const of = (field: keyof Measured) => median(measured.map((one) => one[field]))
  return {
    tokens: of('tokens'),
    tokensPerSecond: of('tokensPerSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    serverCpuMs: of('serverCpuMs'),
    commits: of('commits'),
  }
}
