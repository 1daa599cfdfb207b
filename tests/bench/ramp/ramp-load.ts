/** The clients of the ramp, in a process of their own. Forked by ramp.ts; argument: the port. */
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { followPath, open, readFrames } from '../http-client.ts'
import { ascending, quantile } from '../statistics.ts'
import { stampsIn, wallClockMs } from '../workload.ts'
import type { StreamPlan } from '../workload.ts'

export interface RampPlan {
  readonly runs: number
  readonly tokensPerSecond: number
  /** From the first start to the last. */
  readonly rampSeconds: number
  /** Of each answer. */
  readonly seconds: number
}

export interface RampResult {
  readonly completed: number
  readonly tokensPerSecond: number
  /** From a start, its repetitions included, to its first token. */
  readonly firstMs: Spread
  /** Of every token, from the agent to the client. */
  readonly delayMs: Spread
  /** Starts that were refused; each was made again after the time that the server asked for. */
  readonly refusals: number
  readonly refusedMs: Spread
}

export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const port = Number(process.argv[2])

interface Tally {
  completed: number
  refusals: number
  readonly firstMs: number[]
  readonly delaysMs: number[]
  readonly refusedMs: number[]
  beganMs: number
  endedMs: number
}

process.on('message', (plan: RampPlan) => {
  void play(plan).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function play({ runs, tokensPerSecond, rampSeconds, seconds }: RampPlan): Promise<RampResult> {
  const tally: Tally = {
    completed: 0,
    refusals: 0,
    firstMs: [],
    delaysMs: [],
    refusedMs: [],
    beganMs: Infinity,
    endedMs: 0,
  }
  const answers: Promise<void>[] = []
  const startMs = wallClockMs()
  for (let nth = 0; nth < runs; nth++) {
    const dueMs = startMs + (nth / runs) * rampSeconds * 1_000
    await sleep(Math.max(0, dueMs - wallClockMs()))
    answers.push(playOne(tally, { tokensPerSecond, seconds }))
  }
  await Promise.all(answers)
  const { completed, refusals, delaysMs } = tally
  return {
    completed,
    refusals,
    tokensPerSecond: (delaysMs.length / (tally.endedMs - tally.beganMs)) * 1_000,
    firstMs: spreadOf(tally.firstMs),
    delayMs: spreadOf(delaysMs),
    refusedMs: spreadOf(tally.refusedMs),
  }
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = ascending(values)
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: quantile(sorted, 1) }
}

async function playOne(tally: Tally, pace: Omit<StreamPlan, 'beginAtMs'>): Promise<void> {
  const runId = crypto.randomUUID()
  const startedMs = wallClockMs()
  const plan: StreamPlan = { ...pace, beginAtMs: 0 }
  await startUntilTaken(tally, {
    runId,
    sessionId: `session-${runId}`,
    agentId: 'at-once',
    message: JSON.stringify(plan),
  })
  let isFirst = true
  await readFrames(await open(port, followPath(runId)), (text, nowMs) => {
    for (const stamp of stampsIn(text)) {
      if (isFirst) tally.firstMs.push(nowMs - startedMs)
      isFirst = false
      tally.delaysMs.push(nowMs - stamp)
      tally.beganMs = Math.min(tally.beganMs, nowMs)
      tally.endedMs = nowMs
    }
    if (text.includes('"type":"run_completed"')) tally.completed++
  })
}

async function startUntilTaken(tally: Tally, input: object): Promise<void> {
  for (;;) {
    const askedMs = wallClockMs()
    const { status, retryAfterSeconds } = await postStart(JSON.stringify(input))
    if (status === 200) return
    if (status !== 503) throw new Error(`runs.start answered ${status}`)
    tally.refusals++
    tally.refusedMs.push(wallClockMs() - askedMs)
    await sleep(retryAfterSeconds * 1_000 * (1 + (tally.refusals % 10) / 10))
  }
}

async function postStart(body: string): Promise<{ status: number; retryAfterSeconds: number }> {
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    request({ host: '127.0.0.1', port, path: '/trpc/runs.start', method: 'POST', headers, agent: false }, (answer) => {
      answer.resume().once('end', () => {
        resolve({ status: answer.statusCode ?? 0, retryAfterSeconds: Number(answer.headers['retry-after'] ?? 1) })
      })
    })
      .once('error', reject)
      .end(body)
  })
}
