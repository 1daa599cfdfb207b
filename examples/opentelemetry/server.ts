import { stopSdk } from './instrumentation.ts'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApi } from '@verbatim/api'
import { ownerOf, Principal } from '@verbatim/core'
import { openTelemetry } from '@verbatim/core/opentelemetry'
import { agent, SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// An agent of your own is described by its events. One that reports its tools has exact times, and their work below them.
const librarian = agent({
  id: 'librarian',
  async *stream({ trace }, signal) {
    const look = async () => 'Emma is on shelf 4.'
    const call = { name: 'find_book', id: crypto.randomUUID(), input: { title: 'Emma' }, signal }
    yield trace === undefined ? await look() : await trace.toolCall(call, look)
  },
})

// With `true`, all that is said goes where your spans go.
const telemetry = openTelemetry({ recordContent: process.env['RECORD_CONTENT'] === 'true' })

const factory = await SessionManagerFactory.connect({ ...mongo, agents: [librarian], telemetry })
const { engine } = factory
const api = createApi({ engine, authenticate: () => ({ userId: 'ada' }) })

const server = createServer((request, response) => {
  if (request.url !== '/ask') return api.nodeHandler(request, response)
  // The API takes the trace of each request itself. A route of your own asks for it, unless an instrumentation covers your server.
  const headers = new Headers({ traceparent: String(request.headers['traceparent'] ?? '') })
  void engine.continueTrace(headers, async () => {
    const run = { runId: crypto.randomUUID(), sessionId: 'books', message: 'Where is Emma?' }
    await engine.runs.start(ownerOf(Principal.parse({ userId: 'ada' })), run)
    response.end(run.runId)
  })
})
server.listen(Number(process.env['PORT'] ?? 8788), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)

async function stop() {
  server.close()
  await engine.drain({ graceMs: 10_000 })
  await api.close()
  await factory.close()
  await stopSdk()
}
process.once('SIGTERM', () => void stop())
