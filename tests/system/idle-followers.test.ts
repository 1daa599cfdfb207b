/** What followers cost a server in memory, seen from outside: the process is a real one, and its garbage is collected before it is weighed. */
import { expect, inject, it } from 'vitest'
import { BenchServer, openBenchDatabase, weighable } from '../bench/bench-server.ts'
import { followPath } from '../bench/http-client.ts'
import { openAndWeigh } from '../bench/idle-followers.ts'
import { startFlood, weighUntilClosed } from '../bench/stalled-readers.ts'

const megabyte = 1024 * 1024

it('holds a thousand idle followers in 40 MB of resident memory, on either endpoint', { timeout: 90_000 }, async () => {
  await using database = openBenchDatabase(inject('mongoUri'))
  const config = { uri: database.uri, databaseName: database.databaseName }
  for (const endpoint of ['trpc', 'chat']) {
    await using server = await BenchServer.start(config, weighable)
    const runId = crypto.randomUUID()
    await server.startRun({ runId, agentId: 'silent' })
    const path = endpoint === 'trpc' ? followPath(runId) : `/chat/sse/${runId}`
    // The first ones are the warm-up: what they cost is code, caches and connections to the database, which stay.
    const { uses, sockets } = await openAndWeigh(server, { path, counts: [100, 1_100] })
    for (const socket of sockets) socket.destroy()
    const [before, after] = uses
    expect(after!.rssBytes - before!.rssBytes).toBeLessThan(40 * megabyte)
    expect(after!.heapBytes - before!.heapBytes).toBeLessThan(30 * megabyte)
    await server.followed(0)
  }
})

it('holds a reader that does not read in 1 MB, and closes it in the time configured', { timeout: 90_000 }, async () => {
  await using database = openBenchDatabase(inject('mongoUri'))
  const stalledReaderTimeoutMs = 12_000
  const { server, path } = await startFlood({ ...database, stalledReaderTimeoutMs })
  await using flooded = server
  const { uses, closedMs } = await weighUntilClosed(flooded, { path, counts: [2, 22] })
  const [before, after] = uses
  expect(after!.followers).toBe(22) // all of them, weighed while they stall
  expect((after!.heapBytes - before!.heapBytes) / 20).toBeLessThan(megabyte)
  expect(closedMs).toBeGreaterThan(stalledReaderTimeoutMs * 0.8)
  expect(closedMs).toBeLessThan(50_000) // and not in the 60 s of the default
})
