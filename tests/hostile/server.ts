/**
 * The server under attack: Verbatim's own API over the real engine and MongoDB, with the connection limits of the real server.
 * A bearer token is its user's id. Forked by run-phases.ts; argument: a `HostileServerConfig` as JSON.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createApi, guardServer, listen } from '@verbatim/api'
import type { ApiInput } from '@verbatim/api'
import { maxPromptBytes, ownerOf, SessionId, textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import { SessionManagerFactory } from '@verbatim/core/server'
import type { Agent } from '@verbatim/core/server'
import { MongoClient } from 'mongodb'
import { tokenText } from '../bench/workload.ts'
import { defaultAnswer, fullSessionId } from './server-config.ts'
import type { AnswerPlan, HostileServerConfig, ServerStrain } from './server-config.ts'

/** As the server of `npm start` has them. */
const connectionLimits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  maxHeaderSize: 16 * 1024,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
  noDelay: true,
}

/** A lecture is longer than all the buffers on the way to a reader. */
const lectureBytes = 4 * 1024 * 1024
const lecturePieceBytes = 32 * 1024

const agents: readonly Agent[] = [
  { id: 'paced', stream: ({ messages }) => speak(pacedWords(planOf(textOf(messages.at(-1)?.content ?? [])))) },
  { id: 'silent', stream: (_request, signal) => speak(silence(signal)) },
  { id: 'lecture', stream: (_request, signal) => speak(lecture(signal)) },
]

const config = JSON.parse(process.argv[2] ?? '') as HostileServerConfig // written by run-phases.ts
const { uri, databaseName, options = {}, api: apiOptions = {}, fullSessionUsers = [] } = config
await fillSessions()
const factory = await SessionManagerFactory.connect({ uri, databaseName, agents, options })
const authenticate: ApiInput['authenticate'] = ({ headers }) => {
  const [, userId] = /^Bearer (\w+)$/.exec(headers.get('authorization') ?? '') ?? []
  return userId === undefined ? null : { userId }
}
const api = createApi({ engine: factory.engine, authenticate, ...apiOptions })
const server = guardServer(createServer(connectionLimits, api.nodeHandler))
await listen(server, { port: 0, host: '127.0.0.1' })
const { port } = server.address() as AddressInfo // a TCP server has one

const delays = monitorEventLoopDelay({ resolution: 5 })
delays.enable()
let rssBytes = 0
let since = { ms: performance.now(), cpu: process.cpuUsage() }
setInterval(() => (rssBytes = Math.max(rssBytes, process.memoryUsage.rss())), 20).unref()

// Whatever became of the harness: a server without one has nothing to do.
process.on('disconnect', () => process.exit())
process.on('message', (question) => {
  if (question === 'stop') return void stop()
  process.send?.(takeStrain())
})
process.send?.({ port })

function takeStrain(): ServerStrain {
  const { user, system } = process.cpuUsage(since.cpu)
  const strain = {
    rssBytes: Math.max(rssBytes, process.memoryUsage.rss()),
    heldMs: delays.max / 1e6,
    cpuShare: (user + system) / 1_000 / (performance.now() - since.ms),
  }
  since = { ms: performance.now(), cpu: process.cpuUsage() }
  rssBytes = 0
  delays.reset()
  return strain
}

async function stop(): Promise<void> {
  await api.close()
  server.closeAllConnections()
  server.close()
  await factory.close()
  process.disconnect()
}

/** Before any limit: a limit of bytes a minute is none of bytes in all. On the disk too, or its checkpoint holds up an attack's writes. */
async function fillSessions(): Promise<void> {
  await using unlimited = await SessionManagerFactory.connect({ uri, databaseName, agents })
  const content = 'word '.repeat(Math.floor(maxPromptBytes / 5) - 100)
  const sessionId = SessionId.parse(fullSessionId)
  for (const userId of fullSessionUsers) {
    const owner = ownerOf({ userId, tenantId: 'default', scopes: [] })
    for (let nth = 0; nth < 100; nth++) {
      await unlimited.engine.messages.append(owner, { sessionId, role: 'user', content })
    }
  }
  const client = await MongoClient.connect(uri)
  await client.db('admin').command({ fsync: 1 })
  await client.close()
}

function planOf(prompt: string): AnswerPlan {
  try {
    const { tokens, everyMs } = JSON.parse(prompt) as Partial<AnswerPlan> // any JSON: each field is checked
    if (typeof tokens === 'number' && typeof everyMs === 'number') return { tokens, everyMs }
  } catch {
    // Not of an honest user.
  }
  return defaultAnswer
}

async function* speak(texts: AsyncIterable<string>): AsyncGenerator<AgentEvent> {
  yield { type: 'message_start', message: { model: 'paced-1', usage: {} } }
  yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
  for await (const text of texts) {
    yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
  }
  yield { type: 'content_block_stop', index: 0 }
  yield { type: 'message_stop' }
}

async function* pacedWords({ tokens, everyMs }: AnswerPlan): AsyncGenerator<string> {
  for (let nth = 0; nth < tokens; nth++) {
    await new Promise((resolve) => setTimeout(resolve, everyMs))
    yield tokenText()
  }
}

async function* silence(signal: AbortSignal): AsyncGenerator<string> {
  yield 'Well'
  await aborted(signal)
}

async function* lecture(signal: AbortSignal): AsyncGenerator<string> {
  const piece = 'x'.repeat(lecturePieceBytes)
  for (let bytes = 0; bytes < lectureBytes; bytes += lecturePieceBytes) yield piece
  await aborted(signal)
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  signal.throwIfAborted()
}
