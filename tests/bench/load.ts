/** The clients, in a process of their own so that their work is not the server's. Forked by main.ts; argument: the port. */
import { Agent, get, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
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

const [port = ''] = process.argv.slice(2)
// A connection each: one that is kept may be closed by the server in the moment it is used again.
const connections = new Agent({ keepAlive: false, maxSockets: Infinity })
const where = { host: '127.0.0.1', port, agent: connections }

process.on('message', ({ subject, load }: { subject: Subject; load: Workload }) => {
  void runLoad(subject, load).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function runLoad(subject: Subject, { streams, tokensPerSecond, seconds }: Workload): Promise<LoadResult> {
  const tally: Tally = { delaysMs: [], firstMs: Infinity, lastMs: 0 }
  // All streams stand before the first token is due; their tokens are spread over the time between two of them.
  const startMs = wallClockMs() + 500 + streams * 10
  const open = subject === 'plain' ? openPlain : openVerbatim
  const plans = Array.from({ length: streams }, (_, at): StreamPlan => {
    const spreadMs = tokensPerSecond === null ? 0 : ((at / streams) * 1_000) / tokensPerSecond
    return { beginAtMs: startMs + spreadMs, tokensPerSecond, seconds }
  })
  await Promise.all(plans.map(async (plan) => await readTokens(await open(plan), tally)))
  tally.delaysMs.sort((a, b) => a - b)
  return {
    tokens: tally.delaysMs.length,
    tokensPerSecond: (tally.delaysMs.length / (tally.lastMs - tally.firstMs)) * 1_000,
    p50Ms: quantile(tally.delaysMs, 0.5),
    p99Ms: quantile(tally.delaysMs, 0.99),
  }
}

async function openPlain(plan: StreamPlan): Promise<IncomingMessage> {
  return await open(`/plain?plan=${encodeURIComponent(JSON.stringify(plan))}`)
}

async function openVerbatim(plan: StreamPlan): Promise<IncomingMessage> {
  const runId = crypto.randomUUID()
  const body = JSON.stringify({ runId, sessionId: `session-${runId}`, message: JSON.stringify(plan) })
  const starting = post('/trpc/runs.start', body)
  const following = open(`/trpc/runs.follow?input=${encodeURIComponent(JSON.stringify({ runId }))}`)
  await starting
  return await following
}

async function post(path: string, body: string): Promise<void> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    request({ ...where, path, method: 'POST', headers }, resolve)
      .once('error', reject)
      .end(body)
  })
  let text = ''
  for await (const piece of answer) text += String(piece)
  if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`)
}

async function open(path: string): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => get({ ...where, path }, resolve).once('error', reject))
}

async function readTokens(stream: IncomingMessage, tally: Tally): Promise<void> {
  let rest = ''
  stream.setEncoding('utf8')
  await new Promise<void>((resolve, reject) => {
    stream.on('data', (piece: string) => {
      const nowMs = wallClockMs()
      const text = rest + piece
      const end = text.lastIndexOf('\n\n')
      rest = text.slice(end + 1)
      for (const stamp of stampsIn(text.slice(0, end + 1))) {
        tally.delaysMs.push(nowMs - stamp)
        tally.firstMs = Math.min(tally.firstMs, nowMs)
        tally.lastMs = nowMs
      }
    })
    stream.once('end', resolve)
    stream.once('error', reject)
  })
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
