import { anthropic } from '@ai-sdk/anthropic'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { loadChat, resumeChat, sendMessage } from './chat.ts'

const model = anthropic('claude-sonnet-5-5')

const app = new Hono()
app.post('/api/chat', async (context) => await sendMessage(model, context.req.raw))
app.get('/api/chat/:id/stream', async (context) => await resumeChat(context.req.param('id')))
app.get('/api/chat/:id', (context) => context.json(loadChat(context.req.param('id'))))

serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 8788), hostname: '127.0.0.1' }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
)
