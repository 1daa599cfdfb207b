/** What followers of a silent run cost a server in memory. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { BenchServer, openBenchDatabase, weighable } from './bench-server.ts'
import type { BenchContext, Table } from './group.ts'
import { followPath } from './http-client.ts'
import type { ServerUse } from './server-config.ts'
import { round, toMegabytes } from './statistics.ts'
import { wallClockMs } from './workload.ts'

const endpoints = ['runs.follow', 'GET /chat/sse/:runId'] as const

export async function measureIdleFollowers({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const count = isQuick ? 200 : 1_000
  const rows = []
  for (const endpoint of endpoints) {
    for (const isHeld of [true, false]) {
      const execArgv = isHeld ? weighable : ['--expose-gc']
      const [before, after] = await weigh({ mongoUri, endpoint, execArgv, count })
      if (before === undefined || after === undefined) throw new Error('Two readings make a cost')
      rows.push({
        endpoint,
        followers: count,
        'young generation': isHeld ? 'held at 16 MB a half' : 'grows, as by default',
        'resident MB': toMegabytes(after.rssBytes - before.rssBytes),
        'heap MB': toMegabytes(after.heapBytes - before.heapBytes),
        'heap KB each': round((after.heapBytes - before.heapBytes) / 1024 / count),
      })
    }
  }
  const title = 'Memory of idle followers, after 100 others and a garbage collection'
  return [
    { title: `${title} (aim: 1,000 cost at most 40 MB resident; the young generation grows once, by any work)`, rows },
  ]
}

interface Weighing {
  readonly mongoUri: string
  readonly endpoint: (typeof endpoints)[number]
  readonly execArgv: readonly string[]
  readonly count: number
}

async function weigh({ mongoUri, endpoint, execArgv, count }: Weighing): Promise<readonly ServerUse[]> {
  await using database = openBenchDatabase(mongoUri)
  await using server = await BenchServer.start({ uri: mongoUri, databaseName: database.databaseName }, execArgv)
  const runId = crypto.randomUUID()
  await server.startRun({ runId, agentId: 'silent' })
  const path = endpoint === 'runs.follow' ? followPath(runId) : `/chat/sse/${runId}`
  const { uses, sockets } = await openAndWeigh(server, { path, counts: [100, 100 + count] })
  for (const socket of sockets) socket.destroy()
  await server.stop()
  return uses
}

/** The server's memory with each of `counts` followers, who come on top of one another, and when the last of them was there. */
export async function openAndWeigh(
  server: BenchServer,
  { path, counts }: { path: string; counts: readonly number[] },
): Promise<{ uses: readonly ServerUse[]; sockets: readonly Socket[]; openedMs: number }> {
  const sockets: Socket[] = []
  let openedMs = wallClockMs()
  const uses: ServerUse[] = []
  for (const count of counts) {
    while (sockets.length < count) {
      sockets.push(openUnread(server, path))
      // More at once would overflow the listener's queue.
      if (sockets.length % 50 === 0) await server.followed(sockets.length)
    }
    await server.followed(count)
    openedMs = wallClockMs()
    await sleep(settleMs)
    uses.push(await server.useCollected())
  }
  return { uses, sockets, openedMs }
}

/** Long enough for what a connection is sent to fill all buffers that the kernel has for it. */
const settleMs = 1_000

/** A connection that asks for `path` and reads nothing of what comes. */
function openUnread(server: BenchServer, path: string): Socket {
  const socket = connect(server.port, '127.0.0.1')
  socket.pause()
  socket.on('error', () => {}) // it is reset when the server has had enough of it
  socket.write(`GET ${path} HTTP/1.1\r\nhost: bench\r\n\r\n`)
  return socket
}
