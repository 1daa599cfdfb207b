/** SIGKILL of the process that writes the runs: when a follower on another process hears of their end, or of what goes on from them. */
import type { EngineOptionsInput } from '@verbatim/core/server'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { followRun } from './follow-run.ts'
import type { FollowedRun } from './follow-run.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import { followPath, open, readFrames } from './http-client.ts'
import { ascending, quantile, round } from './statistics.ts'
import { wallClockMs } from './workload.ts'

interface Leases {
  readonly name: string
  readonly options: EngineOptionsInput
  readonly kills: number
}

const shortLeases = { heartbeatMs: 200, selfFenceMs: 1_000, leaseMs: 1_500, recoveryMs: 100 }

interface Recovered {
  /** From the kill to the terminal event. */
  readonly endedMs: number[]
  /** From the kill to the first event of the linked run. */
  readonly continuedMs: number[]
}

export async function measureRecovery({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const plans: Leases[] = [{ name: 'short: 1.5 s, heartbeat 0.2 s', options: shortLeases, kills: isQuick ? 1 : 3 }]
  if (!isQuick) plans.push({ name: 'default: 30 s, heartbeat 5 s', options: {}, kills: 2 })
  const rows = []
  for (const { name, options, kills } of plans) {
    const all: Recovered = { endedMs: [], continuedMs: [] }
    for (let kill = 1; kill <= kills; kill++) {
      const { endedMs, continuedMs } = await killOnce(mongoUri, { options, runs: isQuick ? 4 : 20 })
      all.endedMs.push(...endedMs)
      all.continuedMs.push(...continuedMs)
      say(`recovery with leases ${name}: kill ${kill} of ${kills} is done`)
    }
    rows.push({ leases: name, 'follower gets': 'run_interrupted', kills, ...summary(all.endedMs) })
    rows.push({ leases: name, 'follower gets': 'the linked run', kills, ...summary(all.continuedMs) })
  }
  const title = 'From SIGKILL of the owner to its followers on another process'
  return [{ title: `${title} (aim: within the lease, the time between two looks and 1 s)`, rows }]
}

function summary(timesMs: readonly number[]) {
  const sorted = ascending(timesMs)
  return {
    runs: sorted.length,
    'p50 s': round(quantile(sorted, 0.5) / 1_000),
    'max s': round((sorted.at(-1) ?? 0) / 1_000),
  }
}

async function killOnce(
  uri: string,
  { options, runs }: { options: EngineOptionsInput; runs: number },
): Promise<Recovered> {
  await using database = openBenchDatabase(uri)
  const config = { uri, databaseName: database.databaseName, options }
  await using owner = await BenchServer.start(config)
  await using taker = await BenchServer.start(config)
  const plan = { beginAtMs: wallClockMs() + 500, tokensPerSecond: 20, seconds: 120 }
  const followed: FollowedRun[] = []
  for (let nth = 0; nth < runs; nth++) {
    const runId = crypto.randomUUID()
    await owner.startRun({ runId, agentId: nth % 2 === 0 ? 'paced' : 'continued', plan })
    followed.push(followRun(taker, runId))
  }
  await Promise.all(followed.map(async ({ begun }) => await begun))
  const killedMs = wallClockMs()
  await owner.kill()
  const heard = await Promise.all(followed.map(async (run) => await hear(taker, run)))
  return {
    endedMs: heard.map(({ endedAtMs }) => endedAtMs - killedMs),
    continuedMs: heard.flatMap(({ continuedAtMs }) => (continuedAtMs === undefined ? [] : [continuedAtMs - killedMs])),
  }
}

async function hear(taker: BenchServer, run: FollowedRun) {
  await run.ended
  if (run.end?.type !== 'run_interrupted') throw new Error(`A run of a killed process ended with ${run.end?.type}`)
  const { atMs, continuedBy } = run.end
  return {
    endedAtMs: atMs,
    continuedAtMs: continuedBy === undefined ? undefined : await firstEventMs(taker, continuedBy),
  }
}

async function firstEventMs(server: BenchServer, runId: string): Promise<number> {
  const stream = await open(server.port, followPath(runId))
  const atMs = await new Promise<number>((resolve, reject) => {
    readFrames(stream, (text, nowMs) => {
      if (text.includes('"type":"run_started"')) resolve(nowMs)
    }).then(() => reject(new Error('The linked run never began')), reject)
  })
  stream.destroy()
  return atMs
}
