/**
 * The process under test: Verbatim's own API over the real engine and MongoDB, and beside it the denominators, bare node:http
 * writers that store nothing. Forked by bench-server.ts; argument: a `ServerConfig` as JSON.
 */
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createApi, guardServer, listen } from '@verbatim/api'
import { listenForPeers } from '@verbatim/core/peer-hints'
import { SessionManagerFactory } from '@verbatim/core/server'
import { agents } from './agents.ts'
import { logEvent } from './long-log.ts'
import type { ServerConfig, ServerQuestion, ServerUse } from './server-config.ts'
import { paceTokens } from './workload.ts'
import type { StreamPlan } from './workload.ts'

const config = JSON.parse(process.argv[2] ?? '') as ServerConfig // written by bench-server.ts
const {
  uri,
  databaseName,
  options: givenOptions,
  api: apiOptions = {},
  changeStreams,
  peerSecret: secret,
  watchesLoop = false,
} = config
/** Between two looks at the event loop. */
const lookMs = 10
const lateness = watchesLoop ? monitorEventLoopDelay({ resolution: lookMs }) : undefined
lateness?.enable()
const peerHints = secret === undefined ? undefined : await listenForPeers({ secret, listen: '127.0.0.1:0' })
// A cold server that is measured takes all that begins at once; the groups that measure a refusal ask for the bound.
const options = { overload: false as const, ...givenOptions }
const factory = await SessionManagerFactory.connect({ uri, databaseName, agents, options, changeStreams, peerHints })
const api = createApi({
  engine: factory.engine,
  authenticate: ({ headers }) => ({ userId: headers.get('x-user') ?? 'bench' }),
  ...apiOptions,
})
// As the server of `npm start` listens.
const server = guardServer(
  // A client that is refused may come back 10 s later, on the connection that it has.
  createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (url.pathname === '/plain') {
      return void writePlain(response, tokenFrames(JSON.parse(url.searchParams.get('plan') ?? '{}') as StreamPlan))
    }
    if (url.pathname === '/plain-log') return void writePlain(response, logFrames(url.searchParams))
    api.nodeHandler(request, response)
  }),
)
await listen(server, { port: 0, host: '127.0.0.1' })
const { port } = server.address() as AddressInfo // a TCP server has one
process.send?.({ port })

// Whatever became of the bench: a server without one has nothing to do.
process.on('disconnect', () => process.exit())
process.on('message', (question: ServerQuestion) => {
  if (question === 'stop') return void stop()
  if (question === 'collect') collectGarbage()
  process.send?.(use())
})

async function writePlain(response: ServerResponse, frames: AsyncIterable<string> | Iterable<string>): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  for await (const frame of frames) {
    if (!response.write(frame)) await new Promise((resolve) => response.once('drain', resolve))
  }
  response.end('data: {"type":"done"}\n\n')
}

async function* tokenFrames(plan: StreamPlan): AsyncGenerator<string> {
  for await (const data of paceTokens(plan)) yield `data: ${JSON.stringify({ type: 'token', data })}\n\n`
}

/** The events of a long log, from memory, in the frames that a follower gets. */
function* logFrames(query: URLSearchParams): Generator<string> {
  const perBatch = Number(query.get('perBatch'))
  const lastSeq = Number(query.get('lastSeq'))
  for (let firstSeq = 1; firstSeq <= lastSeq; firstSeq += perBatch) {
    const events = Array.from({ length: perBatch }, (_, at) => logEvent(firstSeq + at))
    yield `data: ${JSON.stringify({ firstSeq, events })}\nid: plain:${firstSeq + perBatch - 1}\n\n\n`
  }
}

function use(): ServerUse {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed, external } = process.memoryUsage()
  const { commits, followers } = factory.engine.stats()
  const lateP99Ms = lateness === undefined ? 0 : Math.max(0, lateness.percentile(99) / 1e6 - lookMs)
  lateness?.reset()
  const cpuMs = (user + system) / 1_000
  return { cpuMs, rssBytes: rss, heapBytes: heapUsed + external, commits, followers, lateP99Ms }
}

/** Twice: what the first run makes free may hold more. */
function collectGarbage(): void {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('Start this server with --expose-gc')
  for (let times = 0; times < 2; times++) gc()
}

async function stop(): Promise<void> {
  await api.close()
  server.closeAllConnections()
  server.close()
  await factory.close()
  process.disconnect()
}
