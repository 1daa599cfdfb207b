import type { RunEvent } from '@verbatim/core'
import { allFrames, json, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'

const sessionId = 'session-1'

describe('sessions.delete', () => {
  it('sessions.delete ends the active run for all its followers, and reports the end of the data', async () => {
    await using app = await openTestApi()
    const runId = await app.startRun('Well /hang', sessionId)
    const followed = [query('runs.follow', { runId }), `/chat/sse/${runId}`].map(async (path) => {
      return await allFrames(await app.fetch(path))
    })
    await expect.poll(() => app.engine.stats().followers).toBe(2)
    const response = await app.fetch('/trpc/sessions.delete', json({ sessionId }))
    expect(await response.json()).toEqual({ result: { data: { sessionId, isPurged: true } } })
    const [frames = [], plain = []] = await Promise.all(followed)
    expect(frames.at(-1)?.event).toBe('return')
    const events = frames.flatMap(({ data }): RunEvent[] => JSON.parse(data || '{}').events ?? [])
    expect(events.at(-1)?.type).toBe('run_cancelled')
    expect(JSON.parse(plain.at(-1)?.data ?? '')).toMatchObject({ type: 'done', status: 'cancelled' })
  })

  it('only the owner of a deleted session learns that it is deleted', async () => {
    await using app = await openTestApi()
    const runId = await app.startRun('Hello', sessionId)
    await allFrames(await app.fetch(`/chat/sse/${runId}`))
    const remove = async (user: string | null) =>
      await readOutcome(await app.fetch('/trpc/sessions.delete', { ...json({ sessionId }), user }))
    expect(await remove('bob')).toMatchObject({ status: 404, code: 'SESSION_NOT_FOUND' })
    expect(await remove(null)).toMatchObject({ status: 401 })
    expect(await remove('alice')).toMatchObject({ status: 200, code: undefined })
    expect(await remove('alice')).toMatchObject({ status: 200, code: undefined })
    const start = { sessionId, runId, message: 'Hello' }
    const calls = [
      app.fetch(query('sessions.get', { sessionId })),
      app.fetch(query('messages.list', { sessionId })),
      app.fetch(query('runs.get', { runId })),
      app.fetch('/trpc/runs.start', json(start)),
      app.fetch('/chat/stream', json({ sessionId, message: 'Hello' })),
      app.fetch('/chat/stream', json({ sessionId, message: 'Hello' }, { 'idempotency-key': runId })),
      app.fetch(`/chat/sse/${runId}`),
    ]
    for (const call of calls) {
      expect(await readOutcome(await call)).toMatchObject({ status: 410, code: 'SESSION_DELETED' })
    }
    const [refusal] = (
      await allFrames(await app.fetch(query('runs.follow', { runId, lastEventId: `${runId}:3` })))
    ).slice(-1)
    expect(refusal).toMatchObject({ event: 'serialized-error', data: expect.stringContaining('"SESSION_DELETED"') })
    expect(await readOutcome(await app.fetch(query('sessions.get', { sessionId }), { user: 'bob' }))).toMatchObject({
      code: 'SESSION_NOT_FOUND',
    })
  })

  it('sessions.delete refuses malformed input', async () => {
    await using app = await openTestApi()
    for (const input of [{}, { sessionId: '' }, { sessionId, force: true }]) {
      const { code } = await readOutcome(await app.fetch('/trpc/sessions.delete', json(input)))
      expect(code).toBe('INVALID_INPUT')
    }
  })
})
