/** The clients, in a process of their own so that their work is not the server's. Forked by throughput.ts; argument: the port. */
import type { IncomingMessage } from 'node:http'
import { followPath, open, post, readFrames } from './http-client.ts'
import { ascending, quantile } from './statistics.ts'
import { stampsIn, wallClockMs } from './workload.ts'
import type { StreamPlan, Workload } from './workload.ts'

/** What one round has shown. */
export interface LoadResult {
  readonly tokens: number
  readonly tokensPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** The subject of a round: Verbatim's API, or the bare writer. */
export type Subject = 'verbatim' | 'plain'

interface Tally {
  readonly delaysMs: number[]
  firstMs: number
  lastMs: number
}

const port = Number(process.argv[2])

process.on('message', ({ subject, load }: { subject: Subject; load: Workload }) => {
  void runLoad(subject, load).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function runLoad(subject: Subject, { streams, tokensPerSecond, seconds }: Workload): Promise<LoadResult> {
  const tally: Tally = { delaysMs: [], firstMs: Infinity, lastMs: 0 }
  // All streams stand before the first token is due; their tokens are spread over the time between two of them.
  const startMs = wallClockMs() + 500 + streams * 10
  const openStream = subject === 'plain' ? openPlain : openVerbatim
  const plans = Array.from({ length: streams }, (_, at): StreamPlan => {
    const spreadMs = tokensPerSecond === null ? 0 : ((at / streams) * 1_000) / tokensPerSecond
    return { beginAtMs: startMs + spreadMs, tokensPerSecond, seconds }
  })
  await Promise.all(plans.map(async (plan) => await readTokens(await openStream(plan), tally)))
  const delaysMs = ascending(tally.delaysMs)
  return {
    tokens: delaysMs.length,
    tokensPerSecond: (delaysMs.length / (tally.lastMs - tally.firstMs)) * 1_000,
    p50Ms: quantile(delaysMs, 0.5),
    p99Ms: quantile(delaysMs, 0.99),
  }
}

async function openPlain(plan: StreamPlan): Promise<IncomingMessage> {
  return await open(port, `/plain?plan=${encodeURIComponent(JSON.stringify(plan))}`)
}

async function openVerbatim(plan: StreamPlan): Promise<IncomingMessage> {
  const runId = crypto.randomUUID()
  const body = JSON.stringify({ runId, sessionId: `session-${runId}`, message: JSON.stringify(plan) })
  const starting = post(port, '/trpc/runs.start', body)
  const following = open(port, followPath(runId))
  await starting
  return await following
}

async function readTokens(stream: IncomingMessage, tally: Tally): Promise<void> {
  await readFrames(stream, (text, nowMs) => {
    for (const stamp of stampsIn(text)) {
      tally.delaysMs.push(nowMs - stamp)
      tally.firstMs = Math.min(tally.firstMs, nowMs)
      tally.lastMs = nowMs
    }
  })
}
