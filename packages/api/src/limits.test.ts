/** Limits, budgets and starts in doubt as HTTP callers meet them. */
import { ownerOf, toCursor, VerbatimError } from '@verbatim/core'
import { json, query } from '@verbatim/test-kit/http'
import { expect, it } from 'vitest'
import { openTestApi } from './testing/serve-test-api.ts'

const alice = ownerOf({ userId: 'alice', tenantId: 'default', scopes: [] })
const chat = { sessionId: 'session-1', message: 'Hello there' }

it('a call over its rate has status 429 and says when to come back, in the header and in the error', async () => {
  const limits = { principal: { startsPerMinute: 1 } }
  await using app = await openTestApi({ engineOptions: { limits } })
  await app.startRun('Hello there')
  const input = { ...chat, runId: crypto.randomUUID() }
  const refused = await app.fetch('/trpc/runs.start', json(input))
  expect(refused.status).toBe(429)
  const { error } = (await refused.json()) as { error: { data: { verbatim: { data: { retryAfterMs: number } } } } }
  expect(error.data.verbatim).toMatchObject({ code: 'RATE_LIMITED', data: { kind: 'principal_starts' } })
  const { retryAfterMs } = error.data.verbatim.data
  expect(refused.headers.get('retry-after')).toBe(String(Math.ceil(retryAfterMs / 1_000)))
})

it.each(['/chat/stream', '/chat/sse'])(
  'a %s over the budget of the day has status 402 and names its run',
  async (path) => {
    const budgets = { principal: { tokensPerDay: 1 } }
    await using app = await openTestApi({ engineOptions: { budgets } })
    await (await app.fetch('/chat/stream', json(chat))).text()
    const runId = crypto.randomUUID()
    const refused = await app.fetch(path, json(chat, { 'idempotency-key': runId }))
    expect(refused.status).toBe(402)
    expect(refused.headers.get('x-run-id')).toBe(runId)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refused.json()).toMatchObject({ error: { code: 'BUDGET_EXCEEDED', retryable: false } })
    const repeated = await app.fetch(query('runs.get', { runId }))
    expect(repeated.status).toBe(404)
  },
)

it('a stream over the limit of followers is refused with the time to wait', async () => {
  const limits = { principal: { followers: 1 } }
  await using app = await openTestApi({ engineOptions: { limits } })
  const runId = await app.startRun('/wait')
  const leaving = new AbortController()
  const first = app.engine.runs.follow(alice, runId, { after: toCursor(runId, 0), signal: leaving.signal })
  await first.next()
  const refused = await (await app.fetch(query('runs.follow', { runId }))).text()
  expect(refused).toContain('event: serialized-error')
  expect(refused).toContain('"kind":"principal_followers"')
  await first.return()
})

it('a start whose answer was UNAVAILABLE names the run, which is found by that id and answered once', async () => {
  await using app = await openTestApi({
    replaceParts: ({ runs }) => ({
      runs: {
        ...runs,
        // The database confirms the start too late for its caller.
        async start(...args) {
          await runs.start(...args)
          throw new VerbatimError('UNAVAILABLE', undefined, { data: { retryAfterMs: 1_000 } })
        },
      },
    }),
  })
  const refused = await app.fetch('/chat/stream', json(chat))
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('1')
  const runId = refused.headers.get('x-run-id') ?? ''
  const answer = await (await app.fetch(`/chat/sse/${runId}`)).text()
  expect(answer).toContain('"type":"done"')
  const repeated = await app.fetch('/chat/stream', json(chat, { 'idempotency-key': runId }))
  expect(repeated.headers.get('x-run-id')).toBe(runId)
  expect(app.engine.stats().runsStarted).toBe(1)
})
