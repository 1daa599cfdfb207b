/**
 * Many slow answers at once, which begin one after another: the most people that one process serves. Beside them a probe asks for health,
 * as a balancer does.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchServer, openBenchDatabase } from '../bench-server.ts'
import { answerOf, startChild } from '../child.ts'
import type { BenchContext, Table } from '../group.ts'
import { open } from '../http-client.ts'
import { ascending, quantile, round } from '../statistics.ts'
import { wallClockMs } from '../workload.ts'
import type { RampPlan, RampResult } from './ramp-load.ts'

export async function measureRamp({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const sizes = isQuick ? [50] : [200, 1_000]
  const rows = []
  for (const runs of sizes) {
    // 50 begin each second, and the first goes on until all stand.
    const plan = { runs, tokensPerSecond: 20, rampSeconds: runs / 50, seconds: runs / 50 + (isQuick ? 1 : 10) }
    rows.push(toRow(plan, await measureOne(mongoUri, plan)))
  }
  const title =
    'Runs of 20 tokens/s that begin one after another, on one process (aim at 1,000: first token p99 at most 1 s, delay p99 100 ms, health 100 ms; more is refused at once)'
  return [{ title, rows }]
}

interface Measured extends RampResult {
  readonly healthMs: readonly number[]
}

async function measureOne(mongoUri: string, plan: RampPlan): Promise<Measured> {
  await using database = openBenchDatabase(mongoUri)
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName })
  const clients = startChild('./ramp/ramp-load.ts', [String(server.port)])
  await answerOf(clients)
  const over = new AbortController()
  const probing = probe(server.port, over.signal)
  clients.send(plan)
  const result = await answerOf<RampResult>(clients)
  over.abort()
  const healthMs = ascending(await probing)
  clients.disconnect()
  await server.stop()
  return { ...result, healthMs }
}

/** Ten times a second. From here and not from the clients' process, which is as busy as the server. */
async function probe(port: number, over: AbortSignal): Promise<number[]> {
  const tookMs: number[] = []
  while (!over.aborted) {
    const askedMs = wallClockMs()
    const answer = await open(port, '/health/live')
    await once(answer.resume(), 'end')
    tookMs.push(wallClockMs() - askedMs)
    await sleep(Math.max(0, 100 - (wallClockMs() - askedMs)))
  }
  return tookMs
}

function toRow({ runs }: RampPlan, result: Measured) {
  const { completed, refusals, refusedMs, tokensPerSecond, firstMs, delayMs, healthMs } = result
  return {
    runs,
    completed,
    'refused starts': refusals,
    'refused within p99 ms': refusals === 0 ? '' : round(refusedMs.p99),
    'tokens/s': Math.round(tokensPerSecond),
    'first token p50 ms': round(firstMs.p50),
    'first token p99 ms': round(firstMs.p99),
    'delay p50 ms': round(delayMs.p50),
    'delay p99 ms': round(delayMs.p99),
    'health p99 ms': round(quantile(healthMs, 0.99)),
    'health max ms': round(quantile(healthMs, 1)),
  }
}
