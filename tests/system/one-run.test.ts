/** One prompt is one run, however often it is sent (P5), and a session makes one answer at a time. */
import { isVerbatimError, textOf } from '@verbatim/core'
import type { Message, Page, Run } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { json } from '@verbatim/test-kit/http'
import { beginning, saying, startProvider } from '@verbatim/test-kit/provider'
import { countDocuments, errorOf, openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { openDatabase } from '../support/engine.ts'
import { waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const sessionId = 'session-1'

async function messagesOf(app: App) {
  const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
  return items.map(({ role, content }) => `${role}: ${textOf(content)}`)
}

/** The documents of a database with one turn in it, whatever else may be archived by then. */
const oneTurn = { sessions: 1, messages: 2, runs: 1 }

describe('the same run id', () => {
  it('a run id that is sent again, during and after the run, is the same run', async () => {
    await using provider = await startProvider(saying('Once.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const input = { runId: crypto.randomUUID(), sessionId, message: 'Hello' }
    const first = await app.mutate<Run>('runs.start', input)
    const second = await app.mutate<Run>('runs.start', input)
    await followRaw(app, input.runId)
    const third = await app.mutate<Run>('runs.start', { ...input, runId: input.runId.toUpperCase() })
    for (const run of [second, third]) {
      const { id, userMessageId, messageId, createdAt } = first
      expect(run).toMatchObject({ id, userMessageId, messageId, createdAt })
    }
    expect(third.status).toBe('completed')
    expect(provider.calls).toHaveLength(1)
    expect(await messagesOf(app)).toEqual(['user: Hello', 'assistant: Once.'])
    expect(await countDocuments(app.database)).toMatchObject(oneTurn)
  })

  it('a run id that is sent 32 times at once to two servers is one run and asks the provider once', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(saying('Just ', 'once.'))
    const input = { agents: [claudeAt(provider.url)], database }
    await using one = await openApp(input)
    await using two = await openApp(input)
    const start = { runId: crypto.randomUUID(), sessionId, message: 'Hello' }
    const runs = await Promise.all(
      Array.from({ length: 32 }, async (_, nth) => {
        const app = nth % 2 === 0 ? one : two
        return await insist(async () => await app.mutate<Run>('runs.start', start))
      }),
    )
    const ids = new Set(runs.map(({ id, userMessageId, messageId }) => [id, userMessageId, messageId].join()))
    expect(ids.size).toBe(1)
    const { events } = await followRaw(two, start.runId)
    expect(events.filter(({ type }) => type === 'run_started')).toHaveLength(1)
    expect(provider.calls).toHaveLength(1)
    expect(one.engine.stats().runsStarted + two.engine.stats().runsStarted).toBe(1)
    expect(await messagesOf(one)).toEqual(['user: Hello', 'assistant: Just once.'])
    expect(await countDocuments(database)).toMatchObject(oneTurn)
  })

  it.each(['/chat/stream', '/chat/sse'])(
    '32 requests with the same key to %s are one run, and each receives the whole answer',
    async (path) => {
      await using provider = await startProvider(saying('All ', 'of ', 'it.'))
      await using app = await openApp({ agents: [claudeAt(provider.url)] })
      const runId = crypto.randomUUID()
      const init = json({ sessionId, message: 'Hello' }, { 'idempotency-key': runId })
      const answers = await Promise.all(
        Array.from({ length: 32 }, async () => {
          const response = await insist(async () => await fetchSurely(app, path, init))
          expect([response.status, response.headers.get('x-run-id')]).toEqual([200, runId])
          return textOfBody(path, await response.text())
        }),
      )
      expect(new Set(answers)).toEqual(new Set(['All of it.']))
      expect(provider.calls).toHaveLength(1)
      expect(await messagesOf(app)).toEqual(['user: Hello', 'assistant: All of it.'])
      expect(await countDocuments(app.database)).toMatchObject(oneTurn)
    },
  )

  it('a run id that is sent again with another payload is refused and changes nothing', async () => {
    await using provider = await startProvider(beginning('Mine'))
    const agents = [claudeAt(provider.url), claudeAt(provider.url, { id: 'other' })]
    await using app = await openApp({ agents })
    const input = { runId: crypto.randomUUID(), sessionId, message: 'Hello' }
    await app.mutate('runs.start', input)
    const others = [
      { ...input, message: 'Hello!' },
      { ...input, sessionId: 'session-2' },
      { ...input, agentId: 'other' },
    ]
    const refuseAll = async () => {
      const before = await countDocuments(app.database)
      for (const other of others) {
        const response = await app.fetch('/trpc/runs.start', json(other))
        const error = await errorOf(response)
        expect([response.status, error.code, error.retryable]).toEqual([409, 'RUN_ID_REUSED', false])
      }
      const { runId, ...chat } = { ...input, message: 'Other' }
      const response = await app.fetch('/chat/sse', json(chat, { 'idempotency-key': runId }))
      expect([response.status, (await errorOf(response)).code]).toEqual([409, 'RUN_ID_REUSED'])
      expect(await countDocuments(app.database)).toEqual(before)
    }
    await followRaw(app, input.runId, { untilSeq: 4 }) // until all of its beginning is stored
    await refuseAll()
    provider.calls[0]!.finish()
    await followRaw(app, input.runId)
    await refuseAll()
    expect(provider.calls).toHaveLength(1)
    expect(await messagesOf(app)).toEqual(['user: Hello', 'assistant: Mine'])
  })

  it('the same run id of another user is another run', async () => {
    await using provider = await startProvider(saying('To Ada.'), saying('To Bob.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const input = { runId: crypto.randomUUID(), sessionId, message: 'Who am I?' }
    const ada = await app.mutate<Run>('runs.start', input)
    await followRaw(app, input.runId)
    const bob = await app.mutate<Run>('runs.start', input, 'bob')
    const { events } = await followRaw(app, input.runId, { user: 'bob' })
    expect(JSON.stringify(events)).toContain('To Bob.')
    expect(bob.messageId).not.toBe(ada.messageId)
    expect(provider.calls.map(({ body }) => body.messages.length)).toEqual([1, 1])
  })
})

describe('a second prompt on a busy session', () => {
  it('a busy session refuses a second prompt on every endpoint, names the active run and stores nothing', async () => {
    await using provider = await startProvider(beginning('Busy'), saying('Free.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const active = app.client().chat(sessionId).send('First')
    await vi.waitFor(() => expect(textOf(active.answer.content)).toBe('Busy'), waitOptions)
    const before = await countDocuments(app.database)
    const chat = { sessionId, message: 'Second' }
    const responses = await Promise.all([
      app.fetch('/trpc/runs.start', json({ ...chat, runId: crypto.randomUUID() })),
      app.fetch('/chat/stream', json(chat)),
      app.fetch('/chat/sse', json(chat)),
    ])
    for (const response of responses) {
      const error = await errorOf(response)
      expect([response.status, error.code, error.data.activeRunId]).toEqual([409, 'SESSION_BUSY', active.id])
    }
    const second = app.client().chat(sessionId).send('Second')
    await expect(second.message).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: active.id } })
    expect(await countDocuments(app.database)).toEqual(before)
    // The named run is one that can be followed.
    const following = app.client().runs.follow(active.id)
    provider.calls[0]!.finish()
    expect(textOf((await following.message).content)).toBe('Busy')
    expect(textOf((await app.client().chat(sessionId).send('Second').message).content)).toBe('Free.')
    expect(await messagesOf(app)).toEqual(['user: First', 'assistant: Busy', 'user: Second', 'assistant: Free.'])
  })

  it('of prompts that reach an idle session at once one starts a run, and the refusals name it', async () => {
    await using provider = await startProvider(beginning('Winner'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const contenders = Array.from({ length: 8 }, () => crypto.randomUUID())
    const outcomes = await Promise.all(
      contenders.map(async (runId) => {
        const start = async () => await app.mutate('runs.start', { runId, sessionId, message: `I am ${runId}` })
        return await insist(start).then(
          () => ({ started: runId }),
          (refused: unknown) => ({ refused }),
        )
      }),
    )
    const started = outcomes.flatMap((outcome) => ('started' in outcome ? [outcome.started] : []))
    const refused = outcomes.flatMap((outcome) => ('refused' in outcome ? [outcome.refused] : []))
    expect(started).toHaveLength(1)
    expect(refused).toHaveLength(7)
    for (const error of refused) {
      expect(error).toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: started[0] } })
    }
    await app.mutate('runs.cancel', { runId: started[0] })
    expect(await countDocuments(app.database)).toMatchObject(oneTurn)
    expect(provider.calls.length).toBeLessThanOrEqual(1) // none when it was cancelled before it asked
  })

  it('a busy session does not hold up another session', async () => {
    await using provider = await startProvider(beginning('Busy'), saying('Other.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const busy = app.client().chat(sessionId).send('First')
    await vi.waitFor(() => expect(textOf(busy.answer.content)).toBe('Busy'), waitOptions)
    const other = await app.client().chat('session-2').send('Second').message
    expect(textOf(other.content)).toBe('Other.')
    await busy.cancel()
  })
})

/** Calls again while the database is too busy with all of them to answer in time: as a client would, and a retry is safe. */
async function insist<TAnswer>(call: () => Promise<TAnswer>): Promise<TAnswer> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!isVerbatimError(error) || error.code !== 'UNAVAILABLE') throw error
    }
  }
}

/** @throws VerbatimError `UNAVAILABLE` when that is the answer */
async function fetchSurely(app: App, path: string, init: RequestInit): Promise<Response> {
  const response = await app.fetch(path, init)
  if (response.status === 503) throw await errorOf(response)
  return response
}

function textOfBody(path: string, body: string): string {
  if (path === '/chat/stream') return body
  const tokens = body.matchAll(/^data: (\{"type":"token".*\})$/gm)
  return Array.from(tokens, ([, json]) => (JSON.parse(json ?? '') as { data: string }).data).join('')
}
