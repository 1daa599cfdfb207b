/** A model that declines: the turn is stored and shown as refused, does not poison the session, and can be tried again. */
import type { Message, Page, Run } from '@verbatim/core'
import { callEnd, callStart, saying, startProvider, streaming, textBlock } from '@verbatim/test-kit/provider'
import { expect, it } from 'vitest'
import { openApp } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { answerFrom } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const refusal = streaming(callStart(), ...textBlock('I can'), ...callEnd('refusal'))
const sessionId = 'session-1'

it('an answer that the model refuses ends as refused, and the model does not get the turn again', async () => {
  await using provider = await startProvider(refusal, saying('Sure'), saying('Also sure'))
  await using app = await openApp({ agents: [claudeAt(provider.url)] })
  const client = app.client()
  const run = client.chat(sessionId).send('Do harm')
  expect(await run.message).toMatchObject({ status: 'refused', content: [{ type: 'text', text: 'I can' }] })
  expect(run.answer.error).toBeNull()
  const raw = await followRaw(app, run.id)
  expect(raw.events.at(-1)).toMatchObject({ type: 'run_refused', metrics: { stopReason: 'refusal' } })
  expect(answerFrom(raw.events).status).toBe('refused')
  expect(await app.query<Run>('runs.get', { runId: run.id })).toMatchObject({ status: 'refused', error: null })

  const next = await client.chat(sessionId).send('Do good').message
  expect(next).toMatchObject({ status: 'completed', content: [{ text: 'Sure' }] })
  expect(provider.complaints).toEqual([])
  expect(JSON.stringify(provider.calls[1]?.body.messages)).not.toMatch(/harm|I can/)
  const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
  expect(items.map(({ status }) => status)).toEqual(['completed', 'refused', 'completed', 'completed'])
})

it('a refused run can be tried again, and its answer replaces the refusal for the model', async () => {
  await using provider = await startProvider(refusal, saying('Sure'), saying('Also sure'))
  await using app = await openApp({ agents: [claudeAt(provider.url)] })
  const client = app.client()
  const run = client.chat(sessionId).send('Explain locks')
  await run.message
  const newRunId = crypto.randomUUID()
  await app.mutate<Run>('runs.retry', { runId: run.id, newRunId })
  expect(await client.runs.follow(newRunId).message).toMatchObject({ status: 'completed', retryOf: run.id })
  await client.chat(sessionId).send('Thanks').message
  expect(provider.complaints).toEqual([])
  expect(provider.calls[1]?.body.messages).toMatchObject([{ role: 'user', content: [{ text: 'Explain locks' }] }])
  expect(JSON.stringify(provider.calls[2]?.body.messages)).not.toContain('I can')
})

it('the plain endpoint says that the model refused', async () => {
  await using provider = await startProvider(refusal)
  await using app = await openApp({ agents: [claudeAt(provider.url)] })
  const response = await app.fetch('/chat/sse', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sessionId, message: 'Do harm' }),
  })
  expect(await response.text()).toMatch(/"type":"done","messageId":"[^"]+","status":"refused"/)
  const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
  expect(items.at(-1)?.status).toBe('refused')
})
