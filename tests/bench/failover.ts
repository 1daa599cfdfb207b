/** SIGKILL of the database's primary while runs stream: when their tokens go on, and whether one is missing. */
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import type { EmbeddedReplicaSet } from '@verbatim/embedded-mongodb'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { env } from '../support/env.ts'
import { followRun } from './follow-run.ts'
import type { FollowedRun } from './follow-run.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import { ascending, quantile, round } from './statistics.ts'
import { wallClockMs } from './workload.ts'

const tokensPerSecond = 20

interface Failover {
  readonly electionTimeoutMillis: number
  readonly kills: number
  readonly runs: number
  /** Of each run: long enough to go on after the election. */
  readonly seconds: number
}

interface Survived {
  readonly resumedMs: readonly number[]
  readonly missing: number
  readonly failed: number
}

export async function measureFailover({ isQuick }: BenchContext): Promise<Table[]> {
  const runs = isQuick ? 4 : 20
  const plans: Failover[] = [{ electionTimeoutMillis: 2_000, kills: isQuick ? 1 : 2, runs, seconds: 14 }]
  if (!isQuick) plans.push({ electionTimeoutMillis: 10_000, kills: 2, runs, seconds: 28 })
  const rows = []
  for (const plan of plans) rows.push(await measureSet(plan))
  const title = 'From SIGKILL of the primary of three nodes to the next token at the follower, 20 tokens/s a run'
  return [{ title: `${title} (aim: an election and little more, no token missing)`, rows }]
}

async function measureSet(plan: Failover): Promise<Table['rows'][number]> {
  const { electionTimeoutMillis, kills, runs } = plan
  const survived: Survived[] = []
  await using set = await startReplicaSet({ env, nodes: 3, electionTimeoutMillis })
  for (let kill = 1; kill <= kills; kill++) {
    survived.push(await killPrimary(set, plan))
    say(`failover with elections of ${electionTimeoutMillis} ms: kill ${kill} of ${kills} is done`)
  }
  const sorted = ascending(survived.flatMap(({ resumedMs }) => resumedMs))
  const sum = (of: (one: Survived) => number) => survived.reduce((total, one) => total + of(one), 0)
  return {
    'election timeout s': electionTimeoutMillis / 1_000,
    kills,
    'runs a kill': runs,
    'p50 s': round(quantile(sorted, 0.5) / 1_000),
    'max s': round((sorted.at(-1) ?? 0) / 1_000),
    'tokens missing or doubled': sum(({ missing }) => missing),
    'runs not completed': sum(({ failed }) => failed),
  }
}

async function killPrimary(set: EmbeddedReplicaSet, { runs, seconds }: Failover): Promise<Survived> {
  await using database = openBenchDatabase(set.uri)
  await using server = await BenchServer.start({ uri: set.uri, databaseName: database.databaseName })
  const plan = { beginAtMs: wallClockMs() + 500, tokensPerSecond, seconds }
  const followed: FollowedRun[] = []
  for (let nth = 0; nth < runs; nth++) {
    const runId = crypto.randomUUID()
    await server.startRun({ runId, agentId: 'paced', plan })
    followed.push(followRun(server, runId))
  }
  await Promise.all(followed.map(async ({ begun }) => await begun))
  const primary = await set.primaryIndex()
  const killedMs = wallClockMs()
  await set.kill(primary)
  await Promise.all(followed.map(async ({ ended }) => await ended))
  await set.restart(primary)
  await server.stop()
  return {
    resumedMs: followed.map((run) => resumedMs(run, killedMs)),
    missing: followed.reduce((sum, run) => sum + wrongTokens(run, seconds * tokensPerSecond), 0),
    failed: followed.filter(({ end }) => end?.type !== 'run_completed').length,
  }
}

/** The longest silence after the kill is the failover; a token that was stored before the kill may still come after it. */
function resumedMs({ tokens }: FollowedRun, killedMs: number): number {
  let [longest, resumedAtMs, beforeMs] = [0, Number.NaN, killedMs]
  for (const { atMs } of tokens) {
    if (atMs < killedMs) continue
    if (atMs - beforeMs > longest) [longest, resumedAtMs] = [atMs - beforeMs, atMs]
    beforeMs = atMs
  }
  return resumedAtMs - killedMs
}

/** Each token holds the time at which it was made, so a doubled token shows. */
function wrongTokens({ tokens }: FollowedRun, made: number): number {
  const distinct = new Set(tokens.map(({ madeMs }) => madeMs)).size
  return Math.abs(made - distinct) + (tokens.length - distinct)
}
