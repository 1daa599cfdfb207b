/** The plain endpoints as programs call them that know no tRPC: a POST with a JSON body, and text or events come back. */
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { textOf } from '@verbatim/core'
import type { Message, Page, Run } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { json } from '@verbatim/test-kit/http'
import {
  beginning,
  callStart,
  cuttingAfter,
  refusing,
  saying,
  startProvider,
  textDelta,
  textStart,
} from '@verbatim/test-kit/provider'
import type { ProviderCall } from '@verbatim/test-kit/provider'
import { errorOf, openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt, startAimock } from '../support/claude.ts'
import { openDatabase } from '../support/engine.ts'
import { waitOptions } from '../support/follow.ts'

const sessionId = 'user-123'
const question = { sessionId, message: 'Explain async programming' }

interface ChatFrame {
  readonly type: 'token' | 'done' | 'error'
  readonly data?: string
  readonly [field: string]: unknown
}

interface Received {
  readonly id: string | undefined
  readonly frame: ChatFrame
}

/** The frames as they come. Leaving the loop drops the connection. */
async function* readChat(response: Response): AsyncGenerator<Received, void, void> {
  const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  for await (const { id, data } of events) yield { id, frame: JSON.parse(data) as ChatFrame }
}

async function readAll(response: Response): Promise<Received[]> {
  const all: Received[] = []
  for await (const one of readChat(response)) all.push(one)
  return all
}

const textIn = (received: readonly Received[]) =>
  received.map(({ frame }) => (frame.type === 'token' ? frame.data : '')).join('')

async function answerOf(app: App) {
  const { items } = await app.query<Page<Message>>('messages.list', { sessionId, order: 'newest' })
  return items[0]!
}

function say(call: ProviderCall | undefined, ...words: string[]): void {
  call!.send(...words.map((word) => textDelta(word)))
}

describe('POST /chat/stream', () => {
  it('POST /chat/stream answers with the text of the provider, creates the session and remembers it at the second prompt', async () => {
    await using mock = await startAimock()
    mock.onMessage('Explain', { content: 'Await is a pause — größer 🌍.\n' })
    mock.onMessage('again', { content: 'As I said.' })
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const first = await app.fetch('/chat/stream', json(question))
    expect(first.status).toBe(200)
    expect(first.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(await first.text()).toBe('Await is a pause — größer 🌍.\n')
    const runId = first.headers.get('x-run-id')!
    expect(await app.query<Run>('runs.get', { runId })).toMatchObject({ sessionId, status: 'completed' })
    const second = await app.fetch('/chat/stream', json({ ...question, message: 'Say it again' }))
    expect(await second.text()).toBe('As I said.')
    expect(JSON.stringify(mock.getLastRequest()?.body)).toContain('Await is a pause')
    const stored = await answerOf(app)
    expect([stored.seq, textOf(stored.content)]).toEqual([4, 'As I said.'])
    expect(stored.metrics).toMatchObject({ cycles: 1, stopReason: 'end_turn' })
  })

  it('POST /chat/stream sends each word before the provider makes the next one', async () => {
    await using provider = await startProvider(beginning('First'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const response = await app.fetch('/chat/stream', json(question))
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toBe('First')
    for (const word of [' second', ' third']) {
      say(provider.calls[0], word)
      expect((await reader.read()).value).toBe(word)
    }
    provider.calls[0]!.finish()
    expect((await reader.read()).done).toBe(true)
  })

  it('POST /chat/stream answers a refusal of the provider with an error status and cuts a text that breaks off', async () => {
    await using provider = await startProvider(
      refusing(401),
      cuttingAfter(callStart(), textStart(), textDelta('Half an ')),
    )
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const refused = await app.fetch('/chat/stream', json(question))
    expect(refused.status).toBe(502)
    expect(refused.headers.get('x-run-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(await errorOf(refused)).toMatchObject({ code: 'PROVIDER_REFUSED', data: { kind: 'credentials' } })
    const half = await app.fetch('/chat/stream', json(question))
    expect(half.status).toBe(200)
    await expect(half.text()).rejects.toThrow('terminated')
    const stored = await answerOf(app)
    expect([stored.status, textOf(stored.content)]).toEqual(['failed', 'Half an '])
  })

  it('POST /chat/stream makes the whole answer after its reader leaves, and the same key returns all of it', async () => {
    await using provider = await startProvider(beginning('Left '))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const key = crypto.randomUUID()
    const init = json(question, { 'idempotency-key': key })
    const left = await app.fetch('/chat/stream', init)
    await left.body!.cancel()
    await vi.waitFor(() => expect(app.engine.stats()).toMatchObject({ followers: 0, runsActive: 1 }), waitOptions)
    say(provider.calls[0], 'alone')
    provider.calls[0]!.finish()
    expect(await (await app.fetch('/chat/stream', init)).text()).toBe('Left alone')
    expect(provider.calls).toHaveLength(1)
  })
})

describe('POST /chat/sse', () => {
  it('POST /chat/sse sends tokens with cursors and then done with the stored message and its metrics', async () => {
    await using mock = await startAimock()
    mock.onMessage(/./, { content: 'Tokens, one by one.', usage: { input_tokens: 11, output_tokens: 6 } })
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const response = await app.fetch('/chat/sse', json(question))
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const runId = response.headers.get('x-run-id')!
    const received = await readAll(response)
    expect(textIn(received)).toBe('Tokens, one by one.')
    expect(new Set(received.slice(0, -1).map(({ frame }) => frame.type))).toEqual(new Set(['token']))
    const seqs = received.map(({ id }) => Number(new RegExp(`^${runId}:(\\d+)$`).exec(id ?? '')?.[1]))
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
    const stored = await answerOf(app)
    const done = { type: 'done', messageId: stored.id, status: 'completed', metrics: stored.metrics }
    expect(received.at(-1)?.frame).toEqual(done)
    expect(stored.metrics).toMatchObject({ inputTokens: 11, outputTokens: 6 })
  })
})

describe('GET /chat/sse/:runId', () => {
  it('GET /chat/sse/:runId on a second server resumes after any token while the first server makes the answer', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(beginning('w0 '))
    const input = { agents: [claudeAt(provider.url)], database }
    await using maker = await openApp(input)
    await using other = await openApp(input)
    const words = Array.from({ length: 10 }, (_, nth) => `w${nth + 1} `)
    const response = await maker.fetch('/chat/sse', json(question))
    const runId = response.headers.get('x-run-id')!
    const resumed: { before: string; rest: Promise<Received[]> }[] = []
    const received: Received[] = []
    for await (const one of readChat(response)) {
      received.push(one)
      if (one.frame.type !== 'token') continue
      // Dropped here, and back on the other server at once, while the run goes on.
      const headers = { 'last-event-id': one.id! }
      const rest = other.fetch(`/chat/sse/${runId}`, { headers }).then(readAll)
      resumed.push({ before: textIn(received), rest })
      const word = words.shift()
      if (word === undefined) provider.calls[0]!.finish()
      else say(provider.calls[0], word)
    }
    const whole = textIn(received)
    expect(whole).toBe('w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 ')
    expect(resumed).toHaveLength(11)
    for (const { before, rest } of resumed) {
      expect(before + textIn(await rest)).toBe(whole)
      expect((await rest).at(-1)).toEqual(received.at(-1))
    }
    expect(textOf((await answerOf(other)).content)).toBe(whole)

    const last = await other.fetch(`/chat/sse/${runId}`, { headers: { 'last-event-id': received.at(-1)!.id! } })
    expect(last.status).toBe(204)
    const fromStart = await readAll(await other.fetch(`/chat/sse/${runId}`))
    expect(textIn(fromStart)).toBe(whole)
  })

  it('GET /chat/sse/:runId resumes after the server that made the answer is gone', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(saying('Made ', 'and ', 'kept.'))
    const input = { agents: [claudeAt(provider.url)], database }
    let runId = ''
    let first: Received | undefined
    {
      await using maker = await openApp(input)
      const response = await maker.fetch('/chat/sse', json(question))
      runId = response.headers.get('x-run-id')!
      const received = await readAll(response)
      first = received[0]
    }
    await using other = await openApp(input)
    const whole = await readAll(await other.fetch(`/chat/sse/${runId}`))
    expect(textIn(whole)).toBe('Made and kept.')
    const rest = await readAll(await other.fetch(`/chat/sse/${runId}?lastEventId=${first?.id}`))
    expect(textIn(first === undefined ? [] : [first]) + textIn(rest)).toBe('Made and kept.')
    expect(rest.at(-1)?.frame).toMatchObject({ type: 'done', status: 'completed' })
  })
})
