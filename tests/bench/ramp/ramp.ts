/**
 * Many slow answers at once, which begin one after another or all in one second: the most that one process serves, and what it does with
 * more. Beside them a probe asks for health, as a balancer does.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createMongoClient } from '@verbatim/core/mongodb'
import { BenchServer, openBenchDatabase } from '../bench-server.ts'
import { answerOf, startChild } from '../child.ts'
import type { BenchContext, Table } from '../group.ts'
import { ascending, quantile, round } from '../statistics.ts'
import { wallClockMs } from '../workload.ts'
import { RawClient } from './raw-client.ts'
import type { RampPlan, RampResult } from './ramp-load.ts'

export async function measureRamp({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  // 50 begin each second, and the first goes on until all stand.
  const ramps = (isQuick ? [50] : [200, 400, 600, 1_000]).map((clients): RampPlan => ({
    clients,
    tokensPerSecond: 20,
    rampSeconds: clients / 50,
    seconds: clients / 50 + (isQuick ? 1 : 10),
  }))
  const crowd: RampPlan = {
    clients: isQuick ? 50 : 1_000,
    tokensPerSecond: 20,
    rampSeconds: 1,
    seconds: isQuick ? 2 : 15,
  }
  const ofRamps = []
  for (const plan of ramps) ofRamps.push(toRow(await measureOne(mongoUri, plan)))
  const ofCrowd = [toRow(await measureOne(mongoUri, crowd))]
  return [
    {
      title:
        'Answers of 20 tokens/s, 50 more each second, on one process (aim at 1,000: first token p99 at most 1 s, delay p99 100 ms, health 100 ms; more is refused at once)',
      rows: ofRamps,
    },
    { title: 'The same, with all connections and starts in one second', rows: ofCrowd },
  ]
}

/** A server that has just begun compiles its code first. */
const warmUp: RampPlan = { clients: 50, tokensPerSecond: 20, rampSeconds: 2, seconds: 2 }

interface Measured extends RampResult {
  readonly plan: RampPlan
  readonly healthMs: readonly number[]
  /** Of one core, in the mean. */
  readonly cores: { readonly server: number; readonly database: number; readonly clients: number }
  readonly serverLateMs: number
}

async function measureOne(mongoUri: string, plan: RampPlan): Promise<Measured> {
  await using database = openBenchDatabase(mongoUri)
  const config = { uri: mongoUri, databaseName: database.databaseName, watchesLoop: true }
  await using server = await BenchServer.start({ ...config, options: { overload: {} } })
  const clients = startChild('./ramp/ramp-load.ts', [String(server.port)])
  await answerOf(clients)
  clients.send(warmUp)
  await answerOf(clients)
  await server.use()
  const over = new AbortController()
  const probing = probe(server.port, over.signal)
  const begun = { atMs: wallClockMs(), databaseMs: await databaseCpuMs(mongoUri), serverMs: (await server.use()).cpuMs }
  clients.send(plan)
  const result = await answerOf<RampResult>(clients)
  const tookMs = wallClockMs() - begun.atMs
  const used = await server.use()
  const cores = {
    server: (used.cpuMs - begun.serverMs) / tookMs,
    database: ((await databaseCpuMs(mongoUri)) - begun.databaseMs) / tookMs,
    clients: result.cpuMs / tookMs,
  }
  over.abort()
  const healthMs = ascending(await probing)
  clients.disconnect()
  await server.stop()
  return { ...result, plan, healthMs, cores, serverLateMs: used.lateP99Ms }
}

/** mongod's own count, which it gives on Linux; 0 elsewhere. */
async function databaseCpuMs(uri: string): Promise<number> {
  const client = createMongoClient(uri)
  const { extra_info: info } = await client.db('admin').command({ serverStatus: 1 })
  await client.close()
  return (Number(info?.user_time_us ?? 0) + Number(info?.system_time_us ?? 0)) / 1_000
}

/** Ten times a second, each time on a new connection. From here and not from the clients' process, which is as busy as the server. */
async function probe(port: number, over: AbortSignal): Promise<number[]> {
  const tookMs: number[] = []
  while (!over.aborted) {
    const askedMs = wallClockMs()
    const client = await RawClient.open(port, 'balancer')
    await client.get('/health/live')
    client.close()
    tookMs.push(wallClockMs() - askedMs)
    await sleep(Math.max(0, 100 - (wallClockMs() - askedMs)))
  }
  return tookMs
}

function toRow({ plan, healthMs, cores, serverLateMs, ...result }: Measured) {
  const { completed, leftOut, most, refusals, refusedMs, tokensPerSecond, firstMs, delayMs, connectMs } = result
  return {
    clients: plan.clients,
    'answers at once': most,
    completed,
    'left out': leftOut,
    'refused starts': refusals,
    'refused within p99 ms': refusals === 0 ? '' : round(refusedMs.p99),
    'tokens/s': Math.round(tokensPerSecond),
    'first token p50 ms': round(firstMs.p50),
    'first token p99 ms': round(firstMs.p99),
    'delay p50 ms': round(delayMs.p50),
    'delay p99 ms': round(delayMs.p99),
    'connect p99 ms': round(connectMs.p99),
    'health p99 ms': round(quantile(healthMs, 0.99)),
    'health max ms': round(quantile(healthMs, 1)),
    'server cores': round(cores.server),
    'mongod cores': round(cores.database),
    'clients cores': round(cores.clients),
    'server late p99 ms': round(serverLateMs),
    'clients late p99 ms': round(result.clientsLateMs.p99),
  }
}
