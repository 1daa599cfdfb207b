/** What followers cost a server in memory, seen from outside: the process is a real one, and its garbage is collected before it is weighed. */
import { expect, inject, it } from 'vitest'
import { BenchServer, openBenchDatabase, weighable } from '../bench/bench-server.ts'
import { followPath } from '../bench/http-client.ts'
import { openAndWeigh } from '../bench/idle-followers.ts'
import { startFlood, weighUntilClosed } from '../bench/stalled-readers.ts'

const megabyte = 1024 * 1024

const most = { rssBytes: 40 * megabyte, heapBytes: 30 * megabyte }

type Cost = typeof most

/** What a thousand followers cost a fresh server after a warm-up of a hundred: code, caches and connections stay. */
async function costOfThousand(server: BenchServer, endpoint: string): Promise<Cost> {
  const runId = crypto.randomUUID()
  await server.startRun({ runId, agentId: 'silent' })
  const path = endpoint === 'trpc' ? followPath(runId) : `/chat/sse/${runId}`
  const { uses, sockets } = await openAndWeigh(server, { path, counts: [100, 1_100] })
  for (const socket of sockets) socket.destroy()
  await server.followed(0)
  const [before, after] = uses
  return { rssBytes: after!.rssBytes - before!.rssBytes, heapBytes: after!.heapBytes - before!.heapBytes }
}

const isOver = (cost: Cost): boolean => cost.rssBytes >= most.rssBytes || cost.heapBytes >= most.heapBytes

it.each(['trpc', 'chat'])(
  'a thousand idle followers of the %s endpoint take at most 40 MB of resident memory',
  { timeout: 180_000 },
  async (endpoint) => {
    await using database = openBenchDatabase(inject('mongoUri'))
    const config = { uri: database.uri, databaseName: database.databaseName }
    // What followers hold they hold every time; what the collector has left by chance it has not three times.
    const costs: Cost[] = []
    do {
      await using server = await BenchServer.start(config, weighable)
      costs.push(await costOfThousand(server, endpoint))
    } while (costs.length < 3 && costs.every(isOver))
    const last = costs.at(-1)!
    expect(last.rssBytes).toBeLessThan(most.rssBytes)
    expect(last.heapBytes).toBeLessThan(most.heapBytes)
  },
)

it(
  'a reader that does not read takes at most 1 MB and is closed after the configured time',
  { timeout: 90_000 },
  async () => {
    await using database = openBenchDatabase(inject('mongoUri'))
    // So long that the first two still stall when all are weighed, on a busy machine too.
    const stalledReaderTimeoutMs = 25_000
    const { server, path } = await startFlood({ ...database, stalledReaderTimeoutMs })
    await using flooded = server
    const { uses, closedMs } = await weighUntilClosed(flooded, { path, counts: [2, 22] })
    const [before, after] = uses
    expect(after!.followers).toBe(22) // all of them, weighed while they stall
    expect((after!.heapBytes - before!.heapBytes) / 20).toBeLessThan(megabyte)
    expect(closedMs).toBeGreaterThan(stalledReaderTimeoutMs * 0.8)
    expect(closedMs).toBeLessThan(50_000) // and not in the 60 s of the default
  },
)
