/** Over HTTP too one prompt is one run, however often it is sent (P5), and a session makes one answer at a time. */
import { textOf } from '@verbatim/core'
import type { Message, Page } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { json } from '@verbatim/test-kit/http'
import { beginning, saying, startProvider } from '@verbatim/test-kit/provider'
import { countDocuments, errorOf, openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
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
  it.each(['/chat/stream', '/chat/sse'])(
    '32 requests with the same key to %s are one run, and each receives the whole answer',
    async (path) => {
      await using provider = await startProvider(saying('All ', 'of ', 'it.'))
      await using app = await openApp({ agents: [claudeAt(provider.url)] })
      const runId = crypto.randomUUID()
      const init = json({ sessionId, message: 'Hello' }, { 'idempotency-key': runId })
      const answers = await Promise.all(
        Array.from({ length: 32 }, async () => {
          const response = await fetchSurely(app, path, init)
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
})

/** Fetches again while the database is too busy with all requests to answer in time, as a client would. */
async function fetchSurely(app: App, path: string, init: RequestInit): Promise<Response> {
  for (;;) {
    const response = await app.fetch(path, init)
    if (response.status !== 503) return response
    await response.text()
  }
}

function textOfBody(path: string, body: string): string {
  if (path === '/chat/stream') return body
  const tokens = body.matchAll(/^data: (\{"type":"token".*\})$/gm)
  return Array.from(tokens, ([, json]) => (JSON.parse(json ?? '') as { data: string }).data).join('')
}
