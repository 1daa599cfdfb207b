/** A follower that reconnects and has missed 100,000 events: how fast it catches up, and what that costs the server. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isVerbatimError } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { EventLog, RunKey } from '@verbatim/core/server'
import { BenchServer, openBenchDatabase, weighable } from './bench-server.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import { followPath, open, readFrames } from './http-client.ts'
import { writeLongLog } from './long-log.ts'
import { median, round, toMegabytes } from './statistics.ts'
import { wallClockMs } from './workload.ts'

interface Caught {
  readonly seconds: number
  readonly firstMs: number
  readonly bytes: number
  readonly grownBytes: number
}

type Client = ReturnType<typeof createMongoClient>

export async function measureCatchUp({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const events = isQuick ? 9_600 : 100_000
  await using database = openBenchDatabase(mongoUri)
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName }, weighable)
  const client = createMongoClient(mongoUri)
  const rows: Table['rows'][number][] = []
  for (const perBatch of [1, 16]) {
    rows.push(...(await measureLog({ server, client, databaseName: database.databaseName, events, perBatch })))
    say(`catch-up of ${events} events, ${perBatch} a commit, is done`)
  }
  await client.close()
  await server.stop()
  const title = `Catch-up of a follower that has missed ${events} events (aim: bound by the CPU, the memory bounded)`
  return [{ title, rows }]
}

interface LongLog {
  readonly server: BenchServer
  readonly client: Client
  readonly databaseName: string
  readonly events: number
  readonly perBatch: number
}

async function measureLog({ server, client, databaseName, events, perBatch }: LongLog): Promise<Table['rows']> {
  const { eventLog } = createMongoStorage({ client, databaseName, clock: systemClock })
  const runId = crypto.randomUUID()
  const key = await writeLongLog(eventLog, { runId, events: events + 1, perBatch })
  // A follow asks whether its run is stored. The log alone is not a run.
  await client.db(databaseName).collection<{ _id: RunKey }>('runs').insertOne({ _id: key })
  const plainPath = `/plain-log?perBatch=${perBatch}&lastSeq=${events}`
  const path = followPath(runId, `${runId}:1`)
  const cursorSeconds = await medianOf(async () => await readCursor(client, { databaseName, key }))
  const plain = await middleOf(async () => await followToEnd(server, { path: plainPath, lastId: `plain:${events}` }))
  const row = (source: string, caught: Caught) => ({
    source,
    'events a commit': perBatch,
    'events/s': Math.round(events / caught.seconds),
    'MB/s': round(toMegabytes(caught.bytes) / caught.seconds),
    'first event ms': round(caught.firstMs),
    'server grows MB': toMegabytes(caught.grownBytes),
    'of plain SSE': round(plain.seconds / caught.seconds),
    'of a raw cursor': source === 'log' ? round(cursorSeconds / caught.seconds) : '',
  })
  const lastId = `${runId}:${events + 2}`
  const fromLog = await middleOf(async () => await followToEnd(server, { path, lastId }))
  await archiveLog(eventLog, key)
  const fromArchive = await middleOf(async () => await followToEnd(server, { path, lastId }))
  return [row('log', fromLog), row('archive', fromArchive), row('plain SSE, from memory', plain)]
}

/** On a busy machine so long a log takes longer than a call of the storage may; what one attempt has done, the next need not. */
async function archiveLog(eventLog: EventLog, key: RunKey): Promise<void> {
  const expiresAt = new Date(systemClock.now().getTime() + 3_600_000)
  for (let attempts = 1; ; attempts++) {
    try {
      return await eventLog.archive([key], { expiresAt })
    } catch (error) {
      if (!isVerbatimError(error) || error.code !== 'UNAVAILABLE' || attempts === 10) throw error
    }
  }
}

/** One connection from its request to the frame with `lastId`. */
async function followToEnd(server: BenchServer, { path, lastId }: { path: string; lastId: string }): Promise<Caught> {
  const before = await server.useCollected()
  const most = watchMemory(server)
  const startMs = wallClockMs()
  let [firstMs, endMs, bytes] = [0, 0, 0]
  await readFrames(await open(server.port, path), (frames, nowMs) => {
    if (firstMs === 0 && frames.includes('\nid: ')) firstMs = nowMs
    if (frames.includes(`\nid: ${lastId}\n`)) endMs = nowMs
    bytes += frames.length
  })
  const mostBytes = await most()
  if (endMs === 0) throw new Error(`The follow ended before ${lastId}`)
  return {
    seconds: (endMs - startMs) / 1_000,
    firstMs: firstMs - startMs,
    bytes,
    grownBytes: mostBytes - before.rssBytes,
  }
}

/** Looks at the server's resident memory until it is called again; answers the most. */
function watchMemory(server: BenchServer): () => Promise<number> {
  let isOver = false
  const watching = (async () => {
    let most = 0
    while (!isOver) {
      most = Math.max(most, (await server.use()).rssBytes)
      await sleep(50)
    }
    return most
  })()
  return async () => {
    isOver = true
    return await watching
  }
}

async function readCursor(
  client: Client,
  { databaseName, key }: { databaseName: string; key: RunKey },
): Promise<number> {
  const startMs = wallClockMs()
  const range = { $gt: { r: key, n: 0 }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } }
  const found = client.db(databaseName).collection<{ _id: { r: string; n: number } }>('run_events').find({ _id: range })
  for await (const _entry of found.sort({ _id: 1 }));
  return (wallClockMs() - startMs) / 1_000
}

const tries = 3

async function medianOf(measure: () => Promise<number>): Promise<number> {
  const all: number[] = []
  for (let nth = 0; nth < tries; nth++) all.push(await measure())
  return median(all)
}

async function middleOf(measure: () => Promise<Caught>): Promise<Caught> {
  const all: Caught[] = []
  for (let nth = 0; nth < tries; nth++) all.push(await measure())
  const [, middle] = all.toSorted((a, b) => a.seconds - b.seconds)
  if (middle === undefined) throw new Error('Nothing was measured')
  return middle
}
