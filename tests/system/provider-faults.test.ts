/** A provider that fails: before its first token the run tries again and says so; after it, the run ends and keeps what was said. */
import { textOf } from '@verbatim/core'
import type { Message, Page, Run, RunEvent } from '@verbatim/core'
import { describe, expect, it } from 'vitest'
import {
  callStart,
  cuttingAfter,
  providerSecret,
  refusing,
  saying,
  startProvider,
  streaming,
  textDelta,
  textStart,
} from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt, providerKey, startAimock } from '../support/claude.ts'
import { answerFrom } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const sessionId = 'session-1'

/** Starts a run and reads it to its end, as raw HTTP and as it is stored. */
async function turn(app: App, message = 'Say something') {
  const runId = crypto.randomUUID()
  await app.mutate('runs.start', { runId, sessionId, message })
  const { events, hasReturned } = await followRaw(app, runId)
  expect(hasReturned).toBe(true)
  const run = await app.query<Run>('runs.get', { runId })
  const answer = await app.query<Message>('messages.get', { sessionId, messageId: run.messageId })
  const shown = JSON.stringify([events, run, answer])
  for (const secret of [providerSecret, providerKey, '127.0.0.1']) expect(shown).not.toContain(secret)
  return { events, run, answer }
}

const typesOf = (events: readonly RunEvent[]) => events.map(({ type }) => type)
const errorEvent = { type: 'error', error: { type: 'overloaded_error', message: providerSecret } }

describe('before the first token', () => {
  it('a run waits out a rate limit, shows the wait and completes the answer', async () => {
    await using mock = await startAimock()
    mock.onMessage(/./, { content: 'Here after all.' })
    mock.nextRequestError(429, { message: providerSecret, type: 'rate_limit_error' }) // it asks for a wait of one second
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const { events, run, answer } = await turn(app)
    expect(typesOf(events).slice(0, 3)).toEqual(['run_started', 'run_retrying', 'message_start'])
    expect(events[1]).toMatchObject({
      attempt: 1,
      delayMs: 1_000,
      error: { code: 'PROVIDER_ERROR', data: { kind: 'rate_limit', providerStatus: 429, retryAfterMs: 1_000 } },
    })
    expect(run).toMatchObject({ status: 'completed', error: null })
    expect(answer.content).toEqual([{ type: 'text', text: 'Here after all.' }])
    expect(answer.metrics).toMatchObject({ cycles: 1 })
    expect(answer.metrics?.timeToFirstTokenMs).toBeGreaterThanOrEqual(990)
    expect(mock.getRequests()).toHaveLength(2)
  })

  it('a follower sees a retry while the run waits for it', async () => {
    await using provider = await startProvider(refusing(429, { 'retry-after': '30' }))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client().chat(sessionId).send('Hello')
    for await (const event of run) if (event.type === 'run_retrying') await run.cancel()
    expect(run.status).toBe('cancelled')
    expect((await run.message).content).toEqual([])
    expect(provider.calls).toHaveLength(1)
  })

  it('wrong credentials fail the run at once', async () => {
    await using mock = await startAimock()
    mock.onMessage(/./, { error: { message: providerSecret, type: 'authentication_error' }, status: 401 })
    await using app = await openApp({ agents: [claudeAt(mock.url)] })
    const { events, run } = await turn(app)
    expect(typesOf(events)).toEqual(['run_started', 'run_failed'])
    expect(run.error).toMatchObject({
      code: 'PROVIDER_REFUSED',
      retryable: false,
      data: { kind: 'credentials', providerStatus: 401 },
    })
    expect(mock.getRequests()).toHaveLength(1)
    const failing = app.client().runs.follow(run.id)
    await expect(failing.message).rejects.toMatchObject({ code: 'PROVIDER_REFUSED' })
  })
})

describe('after the first token', () => {
  const said = [callStart(), textStart(), textDelta('So far '), textDelta('so good')]
  const unreadable: ProviderReply = (call) => {
    call.send(...said)
    call.write('event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n')
    call.end()
  }
  const faults: [string, ProviderReply, { kind: string; providerStatus?: number }][] = [
    ['an error event', streaming(...said, errorEvent), { kind: 'overloaded', providerStatus: 529 }],
    ['a cut connection', cuttingAfter(...said), { kind: 'cut' }],
    ['a stream that ends without its end', streaming(...said), { kind: 'cut' }],
    ['a malformed frame', unreadable, { kind: 'malformed' }],
    ['an event that breaks the protocol', streaming(...said, textDelta('lost', 7)), { kind: 'malformed' }],
  ]

  it.each(faults)(
    '%s after the first token fails the run once, and the session keeps what was said',
    async (_name, fault, data) => {
      await using provider = await startProvider(fault, saying('Again ', 'and whole.'))
      await using app = await openApp({ agents: [claudeAt(provider.url)] })
      const { events, run, answer } = await turn(app)
      expect(typesOf(events)).not.toContain('run_retrying')
      expect(typesOf(events).filter((type) => type.startsWith('run_'))).toEqual(['run_started', 'run_failed'])
      const error = { code: 'PROVIDER_ERROR', retryable: true, data }
      expect(events.at(-1)).toMatchObject({ error, messageId: answer.id })
      expect(run).toMatchObject({ status: 'failed', error })
      expect(answer).toMatchObject({ status: 'failed', content: [{ type: 'text', text: 'So far so good' }] })
      expect(answerFrom(events)).toMatchObject({ content: answer.content, metrics: answer.metrics })
      expect(provider.calls).toHaveLength(1)

      // The session is free again, and the provider takes the conversation as it then is.
      const second = await turn(app, 'Go on')
      expect(second.answer).toMatchObject({
        status: 'completed',
        content: [{ type: 'text', text: 'Again and whole.' }],
      })
      expect(provider.calls[1]?.body.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
      const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
      expect(items.map(({ seq, status }) => [seq, status])).toEqual([
        [1, 'completed'],
        [2, 'failed'],
        [3, 'completed'],
        [4, 'completed'],
      ])
    },
  )

  it('the client throws the error of a run after the text that it has shown, and the partial message is stored', async () => {
    await using provider = await startProvider(cuttingAfter(...said))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const client = app.client()
    const run = client.chat(sessionId).send('Hello')
    const shown: string[] = []
    const reading = (async () => {
      for await (const text of run.text) shown.push(text)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'PROVIDER_ERROR', data: { kind: 'cut' } })
    expect(shown.join('')).toBe('So far so good')
    expect(run.status).toBe('failed')
    const stored = await client.messages.get(sessionId, run.answer.messageId ?? '')
    expect(textOf(stored.content)).toBe('So far so good')
  })
})
