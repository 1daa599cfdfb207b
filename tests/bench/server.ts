/**
 * The process under test: Verbatim's own API over the real engine and MongoDB, and beside it the denominator, a bare node:http
 * writer of the same tokens that stores nothing. Forked by main.ts; argument: the MongoDB URI.
 */
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApi } from '@verbatim/api'
import { textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import { SessionManagerFactory } from '@verbatim/core/server'
import type { Agent } from '@verbatim/core/server'
import { createMongoClient } from '@verbatim/core/mongodb'
import { paceTokens } from './workload.ts'
import type { StreamPlan } from './workload.ts'

const agent: Agent = {
  id: 'paced',
  async *stream({ messages }): AsyncGenerator<AgentEvent> {
    const plan = JSON.parse(textOf(messages.at(-1)?.content ?? [])) as StreamPlan
    yield { type: 'message_start', message: { model: 'paced-1', usage: {} } }
    yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
    for await (const text of paceTokens(plan)) {
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
    }
    yield { type: 'content_block_stop', index: 0 }
    yield { type: 'message_stop' }
  },
}

async function writePlain(response: ServerResponse, plan: StreamPlan): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  for await (const data of paceTokens(plan)) {
    const isRoomLeft = response.write(`data: ${JSON.stringify({ type: 'token', data })}\n\n`)
    if (!isRoomLeft) await new Promise((resolve) => response.once('drain', resolve))
  }
  response.end('data: {"type":"done"}\n\n')
}

const [uri = ''] = process.argv.slice(2)
const databaseName = `verbatim-bench-${crypto.randomUUID().slice(0, 8)}`
const factory = await SessionManagerFactory.connect({ uri, databaseName, agents: [agent] })
const api = createApi({ core: factory.core, authenticate: () => ({ userId: 'bench' }) })
const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  if (url.pathname !== '/plain') return api.nodeHandler(request, response)
  void writePlain(response, JSON.parse(url.searchParams.get('plan') ?? '{}') as StreamPlan)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
process.send?.({ port })

// Whatever became of the bench: a server without one has nothing to do.
process.on('disconnect', () => process.exit())

let cpuBefore = process.cpuUsage()
process.on('message', (message: 'cpu' | 'stop') => {
  if (message === 'cpu') {
    const { user, system } = process.cpuUsage(cpuBefore)
    cpuBefore = process.cpuUsage()
    process.send?.({ cpuMs: (user + system) / 1_000, stats: factory.core.stats() })
    return
  }
  void stop()
})

async function stop(): Promise<void> {
  await api.close()
  server.closeAllConnections()
  server.close()
  await factory.close()
  const client = createMongoClient(uri)
  await client.db(databaseName).dropDatabase()
  await client.close()
  process.disconnect()
}
