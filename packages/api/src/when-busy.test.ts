/** `whenBusy` on the wire: tRPC and plain HTTP. */
import { allFrames, json, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const sessionId = 's'

/** An API with a run that says `so far` and then waits. */
async function openBusyApi(prompt = 'so far /wait') {
  const app = await openTestApi({ heartbeatMs: 200 })
  return { app, first: await app.startRun(prompt, sessionId) }
}

async function start(app: TestApi, input: object) {
  const response = await app.fetch('/trpc/runs.start', json({ sessionId, runId: crypto.randomUUID(), ...input }))
  return { status: response.status, body: await response.json() }
}

async function rolesAndTexts(app: TestApi): Promise<string[]> {
  const list = await (await app.fetch(query('messages.list', { sessionId }))).json()
  const { items } = (list as { result: { data: { items: { role: string; content: { text?: string }[] }[] } } }).result
    .data
  return items.map(
    ({ role, content }) =>
      `${role}: ${content
        .map((block) => block.text)
        .join('')
        .trim()}`,
  )
}

describe('runs.start with whenBusy', () => {
  it('a queued run is followed from its wait to its answer', async () => {
    const { app, first } = await openBusyApi()
    await using _ = app
    const runId = crypto.randomUUID()
    const started = await start(app, { runId, message: 'next', whenBusy: 'queue' })
    expect(started).toMatchObject({ status: 200, body: { result: { data: { id: runId, status: 'queued' } } } })
    expect(await start(app, { message: 'jump' })).toMatchObject({
      status: 409,
      body: { error: { data: { verbatim: { code: 'SESSION_BUSY', data: { activeRunId: first } } } } },
    })
    const stream = app.fetch(query('runs.follow', { runId }))
    app.agent.release()
    const frames = await allFrames(await stream)
    const types = frames.flatMap(({ data }) =>
      [...(data ?? '').matchAll(/"type":"(run_\w+)"/g)].map(([, type]) => type),
    )
    expect(types).toEqual(['run_queued', 'run_started', 'run_completed'])
    expect(await rolesAndTexts(app)).toEqual([
      'user: so far /wait',
      'assistant: so far',
      'user: next',
      'assistant: next',
    ])
  })

  it('runs.start refuses an unknown value of whenBusy', async () => {
    await using app = await openTestApi()
    const refused = await start(app, { message: 'next', whenBusy: 'later' })
    expect(refused).toMatchObject({
      status: 400,
      body: { error: { data: { verbatim: { code: 'INVALID_INPUT', data: { field: 'whenBusy' } } } } },
    })
  })
})

describe('plain HTTP with whenBusy', () => {
  it('/chat/sse with whenBusy queue waits for its turn, then streams', async () => {
    const { app } = await openBusyApi()
    await using _ = app
    const response = await app.fetch('/chat/sse', json({ sessionId, message: 'next', whenBusy: 'queue' }))
    expect(response.status).toBe(200)
    app.agent.release()
    const frames = await allFrames(response)
    const messages = frames.filter(({ data }) => data !== undefined).map(({ data }) => JSON.parse(data ?? ''))
    expect(messages[0]).toEqual({ type: 'token', data: 'next ' })
    expect(messages.at(-1)).toMatchObject({ type: 'done', status: 'completed' })
  })

  it('/chat/stream with whenBusy replace cancels the active run', async () => {
    const { app, first } = await openBusyApi('so far /hang')
    await using _ = app
    const response = await app.fetch('/chat/stream', json({ sessionId, message: 'instead', whenBusy: 'replace' }))
    expect([response.status, await response.text()]).toEqual([200, 'instead '])
    const run = await (await app.fetch(query('runs.get', { runId: first }))).json()
    expect(run).toMatchObject({ result: { data: { status: 'cancelled' } } })
  })

  it('/chat/sse ends with done and no message for a prompt that was cancelled in the queue', async () => {
    const { app } = await openBusyApi()
    await using _ = app
    const response = await app.fetch('/chat/sse', json({ sessionId, message: 'next', whenBusy: 'queue' }))
    const runId = response.headers.get('x-run-id')
    const cancelled = await (await app.fetch('/trpc/runs.cancel', json({ runId }))).json()
    expect(cancelled).toEqual({ result: { data: { runId, status: 'cancelled', finalSeq: 2, hadEnded: false } } })
    const frames = await allFrames(response)
    expect(JSON.parse(frames.find(({ data }) => data !== undefined)?.data ?? '')).toMatchObject({
      type: 'done',
      status: 'cancelled',
      messageId: null,
    })
  })
})
