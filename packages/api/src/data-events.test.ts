/** Data events on the plain endpoints: frames of their own in /chat/sse, and nothing in /chat/stream. */
import { openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { allFrames, json, serve } from '@verbatim/test-kit/http'
import { expect, inject, it } from 'vitest'
import { createApi } from './create-api.ts'
import { authenticateByName } from './testing/serve-test-api.ts'

it('/chat/sse has a frame for each data event, in order, and resumes after each; /chat/stream has the text alone', async () => {
  const agent = scriptedAgent([
    'one ',
    { type: 'data', name: 'progress', data: { done: 1 }, id: 'a' },
    { type: 'data', name: 'progress', data: { done: 2 }, id: 'a' },
    'two',
    { type: 'data', name: 'note', data: null },
  ])
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents: [agent] })
  await using site = await serve(createApi({ engine: test.engine, authenticate: authenticateByName }), { user: 'ada' })
  const body = { sessionId: 's', message: 'Work' }
  expect(await (await site.fetch('/chat/stream', json(body))).text()).toBe('one two')
  const runId = crypto.randomUUID()
  const framesOf = async (response: Response) => (await allFrames(response)).filter(({ data }) => data !== undefined)
  const frames = await framesOf(await site.fetch('/chat/sse', json(body, { 'idempotency-key': runId })))
  expect(frames.map(({ data = '' }) => JSON.parse(data) as object)).toMatchObject([
    { type: 'token', data: 'one ' },
    { type: 'data', name: 'progress', id: 'a', data: { done: 1 } },
    { type: 'data', name: 'progress', id: 'a', data: { done: 2 } },
    { type: 'token', data: 'two' },
    { type: 'data', name: 'note', data: null },
    { type: 'done' },
  ])
  for (const [at, { id = '' }] of frames.entries()) {
    const rest = await site.fetch(`/chat/sse/${runId}`, { headers: { 'last-event-id': id } })
    const left = rest.status === 204 ? [] : await framesOf(rest)
    expect(left.map(({ data }) => data)).toEqual(frames.slice(at + 1).map(({ data }) => data))
  }
})
