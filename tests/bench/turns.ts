/** What a turn costs: bursts of short answers at many clients, the archive of what they leave, and the oplog of paced answers. */
import type { Db, Timestamp } from 'mongodb'
import { createMongoClient } from '@verbatim/core/mongodb'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { answerOf, startChild } from './child.ts'
import type { BenchContext, Table } from './group.ts'
import type { LoadResult } from './load.ts'
import { median, round } from './statistics.ts'
import type { TurnLoad, TurnResult } from './turn-load.ts'

const clients = 32

export async function measureTurns(context: BenchContext): Promise<Table[]> {
  const { mongoUri, rounds, seconds, isProfiled } = context
  await using database = openBenchDatabase(mongoUri)
  const profile = isProfiled ? ['--cpu-prof', '--cpu-prof-dir=test-results/bench-profile'] : []
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName }, profile)
  const load = startChild('./turn-load.ts', [String(server.port)])
  await answerOf(load)
  const measured: (TurnResult & { serverCpuMs: number })[] = []
  for (let nth = 0; nth <= rounds; nth++) {
    const before = await server.use()
    load.send({ clients, seconds: nth === 0 ? 1 : seconds } satisfies TurnLoad) // the first is a warm-up
    const result = await answerOf<TurnResult>(load)
    if (nth > 0) measured.push({ ...result, serverCpuMs: (await server.use()).cpuMs - before.cpuMs })
  }
  load.disconnect()
  await server.stop()
  const mid = (of: (one: (typeof measured)[number]) => number) => median(measured.map(of))
  const row = {
    clients,
    'turns/s': Math.round(mid(({ turns, seconds: took }) => turns / took)),
    'tokens/s': Math.round(mid(({ tokens, seconds: took }) => tokens / took)),
    'first token p50 ms': round(mid(({ firstP50Ms }) => firstP50Ms)),
    'first token p99 ms': round(mid(({ firstP99Ms }) => firstP99Ms)),
    'server CPU ms/turn': round(mid(({ serverCpuMs, turns }) => serverCpuMs / turns)),
  }
  return [
    { title: 'Turns of 200 tokens at once (aim: at least 250 turns/s, first token p50 at most 60 ms)', rows: [row] },
  ]
}

/** What one process spends on moving the log of an ended run, beside what it spends anyway. A quarter of the runs warms it up. */
export async function measureArchive({ mongoUri, seconds, isQuick, isProfiled }: BenchContext): Promise<Table[]> {
  await using database = openBenchDatabase(mongoUri)
  const client = createMongoClient(mongoUri)
  const db = client.db(database.databaseName)
  const config = { uri: mongoUri, databaseName: database.databaseName }
  const entries = await makeEndedRuns(config, { seconds, times: isQuick ? 1 : 4 })
  const profile = isProfiled ? ['--cpu-prof', '--cpu-prof-dir=test-results/bench-profile'] : []
  const runs = await db.collection('runs').countDocuments()
  await using server = await BenchServer.start({ ...config, options: { archiveDelayMs: 1_000 } }, profile)
  const left = async (atMost: number) => {
    while (true) {
      const count = await db.collection('runs').countDocuments({ toArchive: true })
      if (count <= atMost) return count
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const measured = await left(runs * 0.75)
  const beganAt = performance.now()
  const before = await server.use()
  await left(0)
  const after = await server.use()
  const tookMs = performance.now() - beganAt
  // The same process without this work, for as long: its heartbeats, and its looks for work.
  await new Promise((resolve) => setTimeout(resolve, tookMs))
  const idleMs = (await server.use()).cpuMs - after.cpuMs
  const cpuMs = after.cpuMs - before.cpuMs - idleMs
  await client.close()
  await server.stop()
  const row = {
    runs: measured,
    'entries a run': round(entries / runs),
    'server CPU ms/run': round(cpuMs / measured),
    'idle CPU ms': round(idleMs),
    'CPU of a core, %': round((100 * cpuMs) / tookMs),
  }
  return [{ title: 'Archive of an ended run (aim: at most 1 ms of CPU)', rows: [row] }]
}

/** Runs that have ended but are not archived. Answers how many entries their logs have. */
async function makeEndedRuns(
  config: { uri: string; databaseName: string },
  { seconds, times }: { seconds: number; times: number },
): Promise<number> {
  await using server = await BenchServer.start({ ...config, options: { archiveDelayMs: 600_000 } })
  for (let nth = 0; nth < times; nth++) await speak(server, { streams: 100, seconds })
  const client = createMongoClient(config.uri)
  const count = await client.db(config.databaseName).collection('run_events').countDocuments()
  await client.close()
  await server.stop()
  return count
}

/** What the log of paced answers costs the oplog, and with it every secondary and every change stream. */
export async function measureOplog({ mongoUri, seconds }: BenchContext): Promise<Table[]> {
  await using database = openBenchDatabase(mongoUri)
  const client = createMongoClient(mongoUri)
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName })
  const local = client.db('local')
  const since = await newestOperation(local)
  const { tokens } = await speak(server, { streams: 100, seconds })
  const bytes = await oplogBytes(local, { databaseName: database.databaseName, since })
  await client.close()
  await server.stop()
  const row = { runs: 100, 'tokens/s a run': 50, 'oplog bytes/token': Math.round(bytes / tokens) }
  return [{ title: 'Oplog of the run log (aim: at most 250 bytes a token)', rows: [row] }]
}

async function speak(
  server: BenchServer,
  { streams, seconds }: { streams: number; seconds: number },
): Promise<LoadResult> {
  const load = startChild('./load.ts', [String(server.port)])
  await answerOf(load)
  load.send({ subject: 'verbatim', load: { streams, tokensPerSecond: 50, seconds } })
  const result = await answerOf<LoadResult>(load)
  load.disconnect()
  return result
}

async function newestOperation(local: Db): Promise<Timestamp> {
  const [newest] = await local.collection('oplog.rs').find().sort({ $natural: -1 }).limit(1).toArray()
  return newest?.['ts'] as Timestamp // every operation has one
}

async function oplogBytes(
  local: Db,
  { databaseName, since }: { databaseName: string; since: Timestamp },
): Promise<number> {
  const ofLog = { ts: { $gt: since }, ns: `${databaseName}.run_events` }
  const sum = { $group: { _id: null, bytes: { $sum: { $bsonSize: '$$ROOT' } } } }
  const [found] = await local
    .collection('oplog.rs')
    .aggregate<{ bytes: number }>([{ $match: ofLog }, sum])
    .toArray()
  return found?.bytes ?? 0
}
