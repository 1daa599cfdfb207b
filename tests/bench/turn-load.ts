/** Clients that ask one question after another, each a user of its own. Forked by turns.ts; argument: the port. */
import { followPath, open, post, readFrames } from './http-client.ts'
import { ascending, quantile } from './statistics.ts'
import { stampsIn, wallClockMs } from './workload.ts'

/** How many clients ask, and for how long. */
export interface TurnLoad {
  readonly clients: number
  readonly seconds: number
}

export interface TurnResult {
  readonly turns: number
  readonly tokens: number
  readonly seconds: number
  /** From the question to the first token of its answer. */
  readonly firstP50Ms: number
  readonly firstP99Ms: number
}

const port = Number(process.argv[2])

process.on('message', (load: TurnLoad) => {
  void askInTurns(load).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function askInTurns({ clients, seconds }: TurnLoad): Promise<TurnResult> {
  const firstMs: number[] = []
  let tokens = 0
  const beganAt = wallClockMs()
  const endAt = beganAt + seconds * 1_000
  const ask = async (user: string) => {
    while (wallClockMs() < endAt) {
      const askedAt = wallClockMs()
      const runId = crypto.randomUUID()
      const body = JSON.stringify({ runId, sessionId: 'session', agentId: 'burst', message: 'Talk' })
      const starting = post({ port, user }, '/trpc/runs.start', body)
      const following = open({ port, user }, followPath(runId))
      let isFirst = true
      await starting
      await readFrames(await following, (text, nowMs) => {
        const stamps = stampsIn(text)
        tokens += stamps.length
        if (stamps.length > 0 && isFirst) firstMs.push(nowMs - askedAt)
        isFirst &&= stamps.length === 0
      })
    }
  }
  await Promise.all(Array.from({ length: clients }, () => ask(`user-${crypto.randomUUID()}`)))
  const sorted = ascending(firstMs)
  return {
    turns: firstMs.length,
    tokens,
    seconds: (wallClockMs() - beganAt) / 1_000,
    firstP50Ms: quantile(sorted, 0.5),
    firstP99Ms: quantile(sorted, 0.99),
  }
}
