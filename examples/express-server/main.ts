import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createApi } from '@verbatim/api'
import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import express from 'express'
import { mongo } from '../mongo.ts'

const factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude()] })
const authenticate = ({ headers }: { headers: Headers }) =>
  headers.get('authorization') === 'Bearer secret' ? { userId: 'ada' } : null
const api = createApi({ engine: factory.engine, authenticate, basePath: '/api' })

const app = express()

// POST /api/chat/stream (plain text), POST /api/chat/sse and GET /api/chat/sse/:runId (events, resumable), /api/trpc, /api/health.
app.all('/api/*path', api.nodeHandler)

// Endpoints of your own. The run goes on when the caller hangs up.
app.post('/ask', express.json(), async (request, response) => {
  const { sessionId, prompt } = request.body as { sessionId: string; prompt: string }
  await using session = factory.createSessionManager({ sessionId })
  response.type('text/plain')
  for await (const text of session.send(prompt).text) response.write(text)
  response.end()
})
app.post('/ask/sse', express.json(), async (request, response) => {
  const { sessionId, prompt } = request.body as { sessionId: string; prompt: string }
  await using session = factory.createSessionManager({ sessionId })
  response.type('text/event-stream').set('cache-control', 'no-cache')
  for await (const text of session.send(prompt).text) {
    response.write(`data: ${JSON.stringify({ type: 'token', data: text })}\n\n`)
  }
  response.end(`data: ${JSON.stringify({ type: 'done' })}\n\n`)
})

const server = app.listen(Number(process.env['PORT'] ?? 8788), '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)

async function stop() {
  await factory.engine.drain({ graceMs: 10_000 })
  await api.close()
  server.close()
  await factory.close()
}
process.once('SIGTERM', () => void stop())
