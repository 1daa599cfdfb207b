/**
 * `npm run bench`: what durability costs, next to a bare node:http writer that stores nothing, in one run on one machine.
 * Prints the median of the rounds. Flags: --runs <rounds> (5), --seconds <per round> (2), --only <delay|saturation>, --profile (a CPU
 * profile of the server in test-results/bench-profile/).
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import type { LoadResult, Subject } from './load.ts'
import type { Workload } from './workload.ts'

interface Scenario {
  readonly kind: 'delay' | 'saturation'
  readonly load: Workload
}

interface Measured extends LoadResult {
  /** Time on the CPU of the server's process, in milliseconds. */
  readonly serverCpuMs: number
  readonly commits: number
}

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    profile: { type: 'boolean', default: false },
  },
})
const rounds = Number(flags.runs)
const seconds = Number(flags.seconds)
// A profile is of the server's own work, so the plain rounds are left out of it.
const subjects: readonly Subject[] = flags.profile ? ['verbatim'] : ['verbatim', 'plain']

const scenarios: Scenario[] = [
  ...[1, 20, 100].map((streams): Scenario => ({ kind: 'delay', load: { streams, tokensPerSecond: 50, seconds } })),
  { kind: 'saturation', load: { streams: 100, tokensPerSecond: null, seconds } } as const,
].filter((scenario) => flags.only === undefined || scenario.kind === flags.only)

const mongo = await resolveMongoUri({ env: process.env })
const server = start(
  './server.ts',
  [mongo.uri],
  flags.profile ? ['--cpu-prof', '--cpu-prof-dir=test-results/bench-profile'] : [],
)
const { port } = await answer<{ port: number }>(server)
const load = start('./load.ts', [String(port)], [])
await answer(load)

console.log(`${rounds} rounds of ${seconds} s, ${cpus().length} cores of ${cpus()[0]?.model}, Node ${process.version}`)
await measureAll({ isWarmUp: true })
const results = new Map<string, Measured[]>()
for (let round = 1; round <= rounds; round++) {
  for (const { key, measured } of await measureAll({ isWarmUp: false })) {
    results.set(key, [...(results.get(key) ?? []), measured])
  }
  process.stderr.write(`round ${round} of ${rounds} is done\n`)
}
printDelays()
printSaturation()
load.disconnect()
const ended = once(server, 'exit')
server.send('stop')
await ended
await mongo.stop()

async function measureAll({ isWarmUp }: { isWarmUp: boolean }) {
  const all: { key: string; measured: Measured }[] = []
  for (const scenario of scenarios) {
    for (const subject of subjects) {
      const workload = isWarmUp ? { ...scenario.load, seconds: 0.5 } : scenario.load
      all.push({ key: keyOf(subject, scenario), measured: await measure(subject, workload) })
    }
  }
  return all
}

async function measure(subject: Subject, workload: Workload): Promise<Measured> {
  const before = await serverUse()
  load.send({ subject, load: workload })
  const result = await answer<LoadResult>(load)
  const after = await serverUse()
  return { ...result, serverCpuMs: after.cpuMs, commits: after.stats.commits - before.stats.commits }
}

async function serverUse(): Promise<{ cpuMs: number; stats: { commits: number } }> {
  server.send('cpu')
  return await answer(server)
}

function printDelays(): void {
  const rows = scenarios
    .filter(({ kind }) => kind === 'delay')
    .map((scenario) => {
      const [ours, plain] = [medians('verbatim', scenario), medians('plain', scenario)]
      return {
        'runs of 50 tokens/s': scenario.load.streams,
        'p50 ms': round(ours.p50Ms),
        'p99 ms': round(ours.p99Ms),
        'plain p50 ms': round(plain.p50Ms),
        'plain p99 ms': round(plain.p99Ms),
        'p50 added ms': round(ours.p50Ms - plain.p50Ms),
        'p99 added ms': round(ours.p99Ms - plain.p99Ms),
        'p50 ratio': round(ours.p50Ms / plain.p50Ms),
        'tokens per commit': round(ours.tokens / ours.commits),
      }
    })
  if (rows.length === 0) return
  console.log('\nDelay of a token, from the agent to the client (aim at 20 runs: p50 at most 10 ms, p99 at most 50 ms)')
  console.table(rows)
}

function printSaturation(): void {
  const rows = scenarios
    .filter(({ kind }) => kind === 'saturation')
    .map((scenario) => {
      const [ours, plain] = [medians('verbatim', scenario), medians('plain', scenario)]
      return {
        runs: scenario.load.streams,
        'durable tokens/s': Math.round(ours.tokensPerSecond),
        'plain tokens/s': Math.round(plain.tokensPerSecond),
        ratio: round(ours.tokensPerSecond / plain.tokensPerSecond),
        'server CPU µs/token': round((ours.serverCpuMs * 1_000) / ours.tokens),
        'plain CPU µs/token': round((plain.serverCpuMs * 1_000) / plain.tokens),
        'p50 ms': round(ours.p50Ms),
        'tokens per commit': round(ours.tokens / ours.commits),
      }
    })
  if (rows.length === 0) return
  console.log('\nTokens stored and delivered by one server process (aim: at least 10,000 a second)')
  console.table(rows)
}

function medians(subject: Subject, scenario: Scenario): Measured {
  const measured = results.get(keyOf(subject, scenario)) ?? []
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

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

function keyOf(subject: Subject, { kind, load: { streams } }: Scenario): string {
  return `${subject} ${kind} ${streams}`
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function start(file: string, args: readonly string[], execArgv: readonly string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: ['--conditions=verbatim-source', ...execArgv],
  })
  child.once('exit', (code) => {
    if (code !== 0) throw new Error(`${file} ended with ${code}`)
  })
  return child
}

async function answer<TMessage>(child: ChildProcess): Promise<TMessage> {
  const [message] = await once(child, 'message')
  return message as TMessage // the children are part of this program
}
