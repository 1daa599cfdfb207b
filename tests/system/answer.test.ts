/** A prompt goes in, and what the provider says comes out: streamed, stored, and counted. */
import { RunMetrics, textOf } from '@verbatim/core'
import type { Message, Page, Run } from '@verbatim/core'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import {
  beginning,
  callEnd,
  callStart,
  startProvider,
  streaming,
  textBlock,
  textDelta,
  textStart,
} from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { openApp } from '../support/app.ts'
import { claudeAt, startAimock } from '../support/claude.ts'
import { answerFrom, waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const poem = 'Rivers remember — größer als 🌍 and “quoted”, line\none\ttab; the end.'

describe('an answer', () => {
  it('the answer in the stream, in the message and in the client is the text of the provider', async () => {
    await using mock = await startAimock()
    mock.onMessage('poem', { content: poem, usage: { input_tokens: 21, output_tokens: 34 } })
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const client = app.client()
    const run = client.chat('session-1').send('Write a poem')
    const pieces: string[] = []
    for await (const text of run.text) pieces.push(text)
    expect(pieces.join('')).toBe(poem)

    const message = await run.message
    expect(message).toMatchObject({ role: 'assistant', status: 'completed', seq: 2, agentId: 'claude', runId: run.id })
    expect(message.content).toEqual([{ type: 'text', text: poem }])
    const { items } = await app.query<Page<Message>>('messages.list', { sessionId: 'session-1' })
    expect(items).toMatchObject([{ role: 'user', content: [{ type: 'text', text: 'Write a poem' }] }, message])

    const raw = await followRaw(app, run.id)
    expect(raw.hasReturned).toBe(true)
    expect(answerFrom(raw.events).content).toEqual(message.content)
    expect(raw.events.map(({ type }) => type).filter((type) => type !== 'content_block_delta')).toEqual([
      'run_started',
      'message_start',
      'content_block_start',
      'content_block_stop',
      'message_delta',
      'message_stop',
      'run_completed',
    ])
    expect(mock.getRequests()).toHaveLength(1)
  })

  it('each word is shown before the provider makes the next one', async () => {
    await using provider = await startProvider(beginning())
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client().chat('session-1').send('Hello')
    const shown: string[] = []
    const reading = (async () => {
      for await (const text of run.text) shown.push(text)
    })()
    await vi.waitFor(() => expect(provider.calls).toHaveLength(1), waitOptions)
    const words = ['Slow ', 'and ', 'steady ', 'wins.']
    for (const [index, word] of words.entries()) {
      provider.calls[0]!.send(textDelta(word))
      await vi.waitFor(() => expect(shown).toEqual(words.slice(0, index + 1)), waitOptions)
    }
    provider.calls[0]!.finish()
    await reading
    expect(textOf((await run.message).content)).toBe('Slow and steady wins.')
  })

  it('the metrics of an answer count its tokens, cache tokens and cycles, and name the model and the stop reason', async () => {
    const cut = callEnd('max_tokens', { output: 25 })
    const started = callStart({ input: 12, cacheRead: 900, cacheWrite: 40 })
    await using provider = await startProvider(streaming(started, ...textBlock(['Hi ', 'there']), ...cut))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client().chat('session-1').send('Hello')
    const { metrics } = await run.message
    expect(RunMetrics.parse(metrics)).toEqual({
      inputTokens: 12,
      outputTokens: 25,
      cacheReadInputTokens: 900,
      cacheWriteInputTokens: 40,
      totalTokens: 977,
      cycles: 1,
      tools: [],
      model: 'claude-sonnet-5-5',
      stopReason: 'max_tokens',
      latencyMs: expect.any(Number),
      timeToFirstTokenMs: expect.any(Number),
    })
    expect(metrics?.timeToFirstTokenMs).toBeGreaterThan(0)
    expect(metrics?.latencyMs).toBeGreaterThanOrEqual(metrics?.timeToFirstTokenMs ?? Infinity)
    // The metrics are the same wherever they appear.
    expect(run.answer.metrics).toEqual(metrics)
    expect((await app.query<Run>('runs.get', { runId: run.id })).metrics).toEqual(metrics)
    const { events } = await followRaw(app, run.id)
    expect(events.at(-1)).toMatchObject({ type: 'run_completed', metrics })
  })

  it('the time to the first token is measured apart from the latency', async () => {
    const shown = createGate() // or a slow machine might see both parts at once
    const slow: ProviderReply = async (call) => {
      call.send(callStart())
      await new Promise((resolve) => setTimeout(resolve, 150))
      call.send(textStart(), textDelta('Late '))
      await shown.pass()
      await new Promise((resolve) => setTimeout(resolve, 150))
      call.finish('words')
    }
    await using provider = await startProvider(slow)
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client().chat('session-1').send('Hello')
    await vi.waitFor(() => expect(textOf(run.answer.content)).toBe('Late '), waitOptions)
    shown.open()
    const { metrics } = await run.message
    // Timers may fire a little early by another clock.
    expect(metrics?.timeToFirstTokenMs).toBeGreaterThan(140)
    expect((metrics?.latencyMs ?? 0) - (metrics?.timeToFirstTokenMs ?? 0)).toBeGreaterThan(140)
  })
})

describe('the second turn', () => {
  it('the second turn has metrics of its own, and the provider receives the first turn', async () => {
    await using mock = await startAimock()
    mock.onMessage('first', { content: 'One.', usage: { input_tokens: 100, output_tokens: 10 } })
    mock.onMessage('second', { content: 'Two.', usage: { input_tokens: 7, output_tokens: 3 } })
    await using app = await openApp({ agents: [claudeAt(mock.url, { system: 'Be brief.' })] })
    const chat = app.client().chat('session-1')
    const first = await chat.send('The first question').message
    const second = await chat.send('The second question').message
    expect(first.metrics).toMatchObject({ inputTokens: 100, outputTokens: 10, totalTokens: 110, cycles: 1 })
    expect(second.metrics).toMatchObject({ inputTokens: 7, outputTokens: 3, totalTokens: 10, cycles: 1 })
    expect([textOf(first.content), textOf(second.content)]).toEqual(['One.', 'Two.'])

    const sent = mock.getRequests().map(({ body }) => (body as { messages: unknown }).messages)
    const turn = (role: string, content: string) => ({ role, content })
    const opening = [turn('system', 'Be brief.'), turn('user', 'The first question')]
    expect(sent).toEqual([
      opening,
      [...opening, expect.objectContaining(turn('assistant', 'One.')), turn('user', 'The second question')],
    ])
    const { items } = await app.query<Page<Message>>('messages.list', { sessionId: 'session-1' })
    expect(items.map(({ seq, role }) => [seq, role])).toEqual([
      [1, 'user'],
      [2, 'assistant'],
      [3, 'user'],
      [4, 'assistant'],
    ])
  })

  it('a session knows nothing of another session', async () => {
    await using mock = await startAimock()
    mock.onMessage(/./, { content: 'Noted.' })
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const client = app.client()
    await client.chat('session-1').send('My secret word is walrus').message
    await client.chat('session-2').send('What is my secret word?').message
    expect(JSON.stringify(mock.getLastRequest()?.body)).not.toContain('walrus')
  })
})
