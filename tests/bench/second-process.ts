/** The delay of a token on a second process, next to the owner's: the same tokens, followed on both at once. */
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { followRun } from './follow-run.ts'
import type { FollowedRun } from './follow-run.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import { ascending, quantile, round } from './statistics.ts'
import { wallClockMs } from './workload.ts'

const tokensPerSecond = 50

export async function measureSecondProcess(context: BenchContext): Promise<Table[]> {
  const rows: Row[] = []
  for (const way of ways) rows.push(...(await measure(context, way)))
  const title = "Delay of a token on a second process, against the owner's in the same run (aim: at most 1.15 times)"
  return [{ title, rows }]
}

/** How the second process learns of what the owner writes. */
const ways = ['change stream', 'peers', 'polls'] as const

async function measure({ mongoUri, isQuick }: BenchContext, way: (typeof ways)[number]): Promise<Row[]> {
  const seconds = isQuick ? 2 : 6
  await using database = openBenchDatabase(mongoUri)
  const peers = way === 'peers' ? { peerSecret: 'the secret of the servers that the bench starts' } : {}
  const config = { uri: mongoUri, databaseName: database.databaseName, ...peers }
  await using owner = await BenchServer.start(config)
  await using second = await BenchServer.start({ ...config, changeStreams: way === 'polls' ? 'off' : 'auto' })
  await followOnBoth({ owner, second }, { runs: 5, seconds: 1 }) // warm-up
  const rows: Row[] = []
  for (const runs of [1, 20, 100]) {
    const { here, there } = await followOnBoth({ owner, second }, { runs, seconds })
    const [p50, p99] = [0.5, 0.99].map((share) => [quantile(here, share), quantile(there, share)] as const)
    if (p50 === undefined || p99 === undefined) continue
    rows.push({
      'second learns by': way,
      'runs of 50 tokens/s': runs,
      "owner's p50 ms": round(p50[0]),
      "owner's p99 ms": round(p99[0]),
      "second's p50 ms": round(p50[1]),
      "second's p99 ms": round(p99[1]),
      'p50 ratio': round(p50[1] / p50[0]),
      'p99 ratio': round(p99[1] / p99[0]),
    })
    say(`second process with ${runs} runs is done (by ${way})`)
  }
  await owner.stop()
  await second.stop()
  return rows
}

type Row = Table['rows'][number]

async function followOnBoth(
  { owner, second }: { owner: BenchServer; second: BenchServer },
  { runs, seconds }: { runs: number; seconds: number },
): Promise<{ here: readonly number[]; there: readonly number[] }> {
  const beginAtMs = wallClockMs() + 500 + runs * 20
  const followed: { here: FollowedRun; there: FollowedRun }[] = []
  for (let nth = 0; nth < runs; nth++) {
    const runId = crypto.randomUUID()
    const plan = { beginAtMs: beginAtMs + ((nth / runs) * 1_000) / tokensPerSecond, tokensPerSecond, seconds }
    await owner.startRun({ runId, agentId: 'paced', plan })
    followed.push({ here: followRun(owner, runId), there: followRun(second, runId) })
  }
  await Promise.all(followed.flatMap(({ here, there }) => [here.ended, there.ended]))
  return {
    here: ascending(followed.flatMap(({ here }) => delaysOf(here))),
    there: ascending(followed.flatMap(({ there }) => delaysOf(there))),
  }
}

function delaysOf({ tokens }: FollowedRun): number[] {
  return tokens.map(({ atMs, madeMs }) => atMs - madeMs)
}
