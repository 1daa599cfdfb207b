import { serve } from '@hono/node-server'
import { createApi } from '@verbatim/api'
import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import { Hono } from 'hono'
import { streamSSE, streamText } from 'hono/streaming'
import { mongo } from '../mongo.ts'

const factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude()] })
const authenticate = ({ headers }: { headers: Headers }) =>
  headers.get('authorization') === 'Bearer secret' ? { userId: 'ada' } : null
const api = createApi({ engine: factory.engine, authenticate, basePath: '/api' })

const app = new Hono()

// POST /api/chat/stream (plain text), POST /api/chat/sse and GET /api/chat/sse/:runId (events, resumable), /api/trpc, /api/health.
app.all('/api/*', (context) => api.fetchHandler(context.req.raw))

// Endpoints of your own. The run goes on when the caller hangs up.
app.post('/ask', async (context) => {
  const { sessionId, prompt } = await context.req.json<{ sessionId: string; prompt: string }>()
  const session = factory.createSessionManager({ sessionId })
  return streamText(context, async (stream) => {
    for await (const text of session.send(prompt).text) await stream.write(text)
  })
})
app.post('/ask/sse', async (context) => {
  const { sessionId, prompt } = await context.req.json<{ sessionId: string; prompt: string }>()
  const session = factory.createSessionManager({ sessionId })
  return streamSSE(context, async (stream) => {
    for await (const text of session.send(prompt).text) {
      await stream.writeSSE({ data: JSON.stringify({ type: 'token', data: text }) })
    }
    await stream.writeSSE({ data: JSON.stringify({ type: 'done' }) })
  })
})

const port = Number(process.env['PORT'] ?? 8788)
const server = serve({ fetch: app.fetch, port, hostname: '127.0.0.1' }, (address) =>
  console.log(`http://127.0.0.1:${address.port}`),
)

async function stop() {
  await factory.engine.drain({ graceMs: 10_000 })
  await api.close()
  server.close()
  await factory.close()
}
process.once('SIGTERM', () => void stop())
