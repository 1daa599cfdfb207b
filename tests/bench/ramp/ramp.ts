/**
 * Many slow answers at once, which begin one after another: the most people that one process serves. Beside them a probe asks for health,
 * as a balancer does.
 */
import { BenchServer, openBenchDatabase } from '../bench-server.ts'
import { answerOf, startChild } from '../child.ts'
import type { BenchContext, Table } from '../group.ts'
import { ascending, quantile, round } from '../statistics.ts'
import type { RampPlan, RampResult } from './ramp-load.ts'

export async function measureRamp({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const sizes = isQuick ? [50] : [200, 1_000]
  const rows = []
  for (const runs of sizes) {
    const plan = { runs, tokensPerSecond: 20, rampSeconds: isQuick ? 2 : runs / 50, seconds: isQuick ? 2 : 10 }
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

function toRow(
  { runs }: RampPlan,
  { firstMs, delaysMs, healthMs, refusals, refusedMs, completed, seconds }: RampResult,
) {
  const at = (values: readonly number[], share: number) => round(quantile(ascending(values), share))
  return {
    runs,
    completed,
    'refused starts': refusals,
    'refused within p99 ms': refusals === 0 ? '' : at(refusedMs, 0.99),
    'tokens/s': Math.round(delaysMs.length / seconds),
    'first token p50 ms': at(firstMs, 0.5),
    'first token p99 ms': at(firstMs, 0.99),
    'delay p50 ms': at(delaysMs, 0.5),
    'delay p99 ms': at(delaysMs, 0.99),
    'health p99 ms': at(healthMs, 0.99),
    'health max ms': at(healthMs, 1),
  }
}
