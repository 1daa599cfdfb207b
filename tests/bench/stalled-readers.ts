/** What readers that do not read cost a server in memory, and when they are closed. */
import { BenchServer, openBenchDatabase, weighable } from './bench-server.ts'
import type { BenchContext, Table } from './group.ts'
import { followPath, open, readFrames } from './http-client.ts'
import { openAndWeigh } from './idle-followers.ts'
import type { ServerUse } from './server-config.ts'
import { round, toMegabytes } from './statistics.ts'
import { floodBytes, wallClockMs } from './workload.ts'

export async function measureStalledReaders({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const [warm, readers] = [30, isQuick ? 10 : 30]
  const stalledReaderTimeoutMs = isQuick ? 12_000 : 60_000
  await using database = openBenchDatabase(mongoUri)
  const { server, path } = await startFlood({ ...database, stalledReaderTimeoutMs })
  await using flooded = server
  const counts = [0, warm, warm + readers]
  const { uses, closedMs } = await weighUntilClosed(flooded, { path, counts })
  const [without, before, after] = uses
  await flooded.stop()
  if (without === undefined || before === undefined || after === undefined) throw new Error('Three readings are needed')
  const row = {
    readers,
    'resident MB each': toMegabytes((after.rssBytes - before.rssBytes) / readers),
    'heap MB each': toMegabytes((after.heapBytes - without.heapBytes) / (warm + readers)),
    'closed after s': round(closedMs / 1_000),
    'configured s': stalledReaderTimeoutMs / 1_000,
  }
  const title = `Readers that do not read a run of ${toMegabytes(floodBytes)} MB, after ${warm} others and a garbage collection`
  return [{ title: `${title} (aim: at most 1 MB each, closed after the time configured)`, rows: [row] }]
}

/** As `openAndWeigh`, and how long the last of them was borne. */
export async function weighUntilClosed(
  server: BenchServer,
  load: { path: string; counts: readonly number[] },
): Promise<{ uses: readonly ServerUse[]; closedMs: number }> {
  const { uses, sockets, openedMs } = await openAndWeigh(server, load)
  await server.followed(0)
  const closedMs = wallClockMs() - openedMs
  for (const socket of sockets) socket.destroy()
  return { uses, closedMs }
}

/** A server with a run that has said more than all buffers hold, and goes on. */
export async function startFlood(input: {
  uri: string
  databaseName: string
  stalledReaderTimeoutMs: number
}): Promise<{ server: BenchServer; path: string }> {
  const { uri, databaseName, stalledReaderTimeoutMs } = input
  const options = { maxAnswerBytes: 12 * 1024 * 1024 }
  const server = await BenchServer.start({ uri, databaseName, options, api: { stalledReaderTimeoutMs } }, weighable)
  const runId = crypto.randomUUID()
  await server.startRun({ runId, agentId: 'flood' })
  const path = followPath(runId)
  // One that reads shows that all of it is there.
  const stream = await open(server.port, path)
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    const reading = readFrames(stream, (frames) => {
      bytes += frames.length
      if (bytes > floodBytes) resolve()
    })
    reading.then(() => reject(new Error('The run has ended')), reject)
  })
  stream.destroy()
  await server.followed(0)
  return { server, path }
}
