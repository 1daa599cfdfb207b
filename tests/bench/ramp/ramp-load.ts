/** The clients of the ramp, in a process of their own. Forked by ramp.ts; argument: the port. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { followPath } from '../http-client.ts'
import { ascending, quantile } from '../statistics.ts'
import { stampsIn, wallClockMs } from '../workload.ts'
import type { StreamPlan } from '../workload.ts'
import { RawClient } from './raw-client.ts'

export interface RampPlan {
  /** Clients, each a user of its own that wants one answer. */
  readonly clients: number
  readonly tokensPerSecond: number
  /** From the first client to the last. */
  readonly rampSeconds: number
  /** Of each answer. */
  readonly seconds: number
}

export interface RampResult {
  readonly completed: number
  /** Clients whose start was refused for as long as the load went on. */
  readonly leftOut: number
  /** The most answers that stood at once. */
  readonly most: number
  readonly tokensPerSecond: number
  /** From the start that was taken to its first token. */
  readonly firstMs: Spread
  /** Of every token, from the agent to the client. */
  readonly delayMs: Spread
  /** From a client's connect until its connection stands. */
  readonly connectMs: Spread
  /** Starts that were refused; each was made again after the time that the server asked for. */
  readonly refusals: number
  readonly refusedMs: Spread
  /** How late the clients' own event loop was: what they measure is not more exact. */
  readonly clientsLateMs: Spread
  readonly cpuMs: number
}

export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const port = Number(process.argv[2])

interface Tally {
  completed: number
  leftOut: number
  standing: number
  most: number
  refusals: number
  readonly firstMs: number[]
  readonly delaysMs: number[]
  readonly refusedMs: number[]
  readonly connectMs: number[]
  beganMs: number
  endedMs: number
}

process.on('message', (plan: RampPlan) => {
  void play(plan).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function play(plan: RampPlan): Promise<RampResult> {
  const { clients, rampSeconds, seconds } = plan
  const lateness = monitorEventLoopDelay({ resolution: lookMs })
  lateness.enable()
  const before = process.cpuUsage()
  const tally = newTally()
  const startMs = wallClockMs()
  const playing: Promise<void>[] = []
  for (let nth = 0; nth < clients; nth++) {
    const dueMs = startMs + (nth / clients) * rampSeconds * 1_000
    if (wallClockMs() < dueMs) await sleep(dueMs - wallClockMs())
    // A client that is still refused when the first answers end has learned that there is no place.
    playing.push(playOne(tally, plan, { giveUpAtMs: startMs + seconds * 1_000 }))
  }
  await Promise.all(playing)
  const { user, system } = process.cpuUsage(before)
  const late = (share: number) => Math.max(0, lateness.percentile(share * 100) / 1e6 - lookMs)
  return {
    ...tally,
    tokensPerSecond: (tally.delaysMs.length / (tally.endedMs - tally.beganMs)) * 1_000,
    firstMs: spreadOf(tally.firstMs),
    delayMs: spreadOf(tally.delaysMs),
    connectMs: spreadOf(tally.connectMs),
    refusedMs: spreadOf(tally.refusedMs),
    clientsLateMs: { p50: late(0.5), p99: late(0.99), max: late(1) },
    cpuMs: (user + system) / 1_000,
  }
}

/** Between two looks at the clients' event loop. */
const lookMs = 10

function newTally(): Tally {
  return {
    completed: 0,
    leftOut: 0,
    standing: 0,
    most: 0,
    refusals: 0,
    firstMs: [],
    delaysMs: [],
    refusedMs: [],
    connectMs: [],
    beganMs: Infinity,
    endedMs: 0,
  }
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = ascending(values)
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: quantile(sorted, 1) }
}

async function playOne(
  tally: Tally,
  { tokensPerSecond, seconds }: RampPlan,
  { giveUpAtMs }: { giveUpAtMs: number },
): Promise<void> {
  const runId = crypto.randomUUID()
  const connectedFromMs = wallClockMs()
  const client = await RawClient.open(port, `user-${runId}`)
  tally.connectMs.push(wallClockMs() - connectedFromMs)
  const plan: StreamPlan = { tokensPerSecond, seconds, beginAtMs: 0 }
  const start = JSON.stringify({ runId, sessionId: 'session', agentId: 'at-once', message: JSON.stringify(plan) })
  const takenMs = await startUntilTaken(tally, client, { start, giveUpAtMs })
  if (takenMs === undefined) {
    tally.leftOut++
    return client.close()
  }
  tally.most = Math.max(tally.most, ++tally.standing)
  await readAnswer(tally, client, { runId, takenMs })
  tally.standing--
}

/** When the start was made that was taken; undefined when none was. */
async function startUntilTaken(
  tally: Tally,
  client: RawClient,
  { start, giveUpAtMs }: { start: string; giveUpAtMs: number },
): Promise<number | undefined> {
  for (;;) {
    const askedMs = wallClockMs()
    const { status, body } = await client.post('/trpc/runs.start', start)
    if (status === 200) return askedMs
    if (status !== 503) throw new Error(`runs.start answered ${status}: ${body}`)
    tally.refusals++
    tally.refusedMs.push(wallClockMs() - askedMs)
    const [, retryAfterMs = '1000'] = /"retryAfterMs":(\d+)/.exec(body) ?? []
    if (wallClockMs() + Number(retryAfterMs) > giveUpAtMs) return undefined
    await sleep(Number(retryAfterMs) * (1 + (tally.refusals % 10) / 100)) // each a little later, as the protocol asks
  }
}

async function readAnswer(
  tally: Tally,
  client: RawClient,
  { runId, takenMs }: { runId: string; takenMs: number },
): Promise<void> {
  let isFirst = true
  let rest = ''
  await client.stream(followPath(runId), (piece) => {
    const nowMs = wallClockMs()
    const text = rest + piece
    const cut = text.lastIndexOf('\n') + 1
    rest = text.slice(cut)
    const whole = text.slice(0, cut)
    for (const stamp of stampsIn(whole)) {
      if (isFirst) tally.firstMs.push(nowMs - takenMs)
      isFirst = false
      tally.delaysMs.push(nowMs - stamp)
      tally.beganMs = Math.min(tally.beganMs, nowMs)
      tally.endedMs = nowMs
    }
    if (!whole.includes('"type":"run_completed"')) return false
    tally.completed++
    return true
  })
}
