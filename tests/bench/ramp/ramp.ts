/**
 * Many slow answers at once, which begin one after another: the most people that one process serves. Beside them a probe asks for health,
 * as a balancer does.
 */
import { BenchServer, openBenchDatabase } from '../bench-server.ts'
import { answerOf, startChild } from '../child.ts'
import type { BenchContext, Table } from '../group.ts'
import { round } from '../statistics.ts'
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

async function measureOne(mongoUri: string, plan: RampPlan): Promise<RampResult> {
  await using database = openBenchDatabase(mongoUri)
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName })
  const clients = startChild('./ramp/ramp-load.ts', [String(server.port)])
  await answerOf(clients)
  clients.send(plan)
  const result = await answerOf<RampResult>(clients)
  clients.disconnect()
  await server.stop()
  return result
}

function toRow({ runs }: RampPlan, result: RampResult) {
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
    'health p99 ms': round(healthMs.p99),
    'health max ms': round(healthMs.max),
  }
}
