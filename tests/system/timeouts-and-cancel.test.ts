/** A run ends when it waits too long or is cancelled: what was said is kept, and the server closes the provider's socket. */
import { lastSeqOf, textOf } from '@verbatim/core'
import type { CancelRunResult, Message, Page, Run, Session } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { beginning, callStart, saying, startProvider, textDelta } from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { openApp } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { openDatabase } from '../support/engine.ts'
import { expectIdle } from '../support/leaks.ts'
import { waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const sessionId = 'session-1'

const talking: ProviderReply = (call) => {
  void beginning('And ')(call)
  const timer = setInterval(() => call.send(textDelta('on ')), 20)
  void call.hungUp.then(() => clearInterval(timer))
}

describe('a provider that is too slow', () => {
  interface Slow {
    readonly kind: string
    readonly reply: ProviderReply
    readonly timeouts: { firstTokenMs?: number; idleMs?: number; totalMs?: number }
    readonly text: RegExp
  }
  const quiet: ProviderReply = (call) => call.send(callStart(), { type: 'ping' })
  const cases: Slow[] = [
    { kind: 'first_token', reply: () => {}, timeouts: { firstTokenMs: 2_000 }, text: /^$/ }, // not even a head
    { kind: 'first_token', reply: quiet, timeouts: { firstTokenMs: 2_000 }, text: /^$/ },
    { kind: 'idle', reply: beginning('Well, '), timeouts: { idleMs: 2_000 }, text: /^Well, $/ },
    { kind: 'total', reply: talking, timeouts: { totalMs: 3_000 }, text: /^And (on )+$/ },
  ]

  it.each(cases)(
    'a run fails at its $kind timeout and closes the connection to the provider',
    async ({ kind, reply, timeouts, text }) => {
      await using provider = await startProvider(reply, saying('Quick.'))
      const agents = [claudeAt(provider.url, { timeouts }), claudeAt(provider.url, { id: 'patient' })]
      await using app = await openApp({ agents })
      const runId = crypto.randomUUID()
      await app.mutate('runs.start', { runId, sessionId, message: 'Hello' })
      const { events } = await followRaw(app, runId)
      const timeoutMs = Object.values(timeouts)[0]
      const error = { code: 'RUN_TIMEOUT', retryable: true, data: { kind, timeoutMs } }
      expect(events.at(-1)).toMatchObject({ type: 'run_failed', error })
      expect(await provider.calls[0]?.hungUp).toBe(true)

      const run = await app.query<Run>('runs.get', { runId })
      expect(run).toMatchObject({ status: 'failed', error, lastSeq: events.length })
      expect(run.metrics?.latencyMs).toBeGreaterThan(timeoutMs! - 20) // timers may fire a little early
      const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
      expect(items[1]).toMatchObject({ status: 'failed', runId, metrics: run.metrics })
      expect(textOf(items[1]?.content ?? [])).toMatch(text)

      // The same provider, quick now, is asked again by the next prompt; nothing here is about how quick.
      const next = await app.client().chat(sessionId).send('Again', { agentId: 'patient' }).message
      expect(textOf(next.content)).toBe('Quick.')
      await expectIdle(app.engine)
    },
  )

  it('the idle timeout counts from the last word of the provider', async () => {
    const slowly: ProviderReply = async (call) => {
      await beginning()(call)
      for (const word of ['a', 'b', 'c', 'd', 'e', 'f']) {
        await new Promise((resolve) => setTimeout(resolve, 600))
        call.send(textDelta(word))
      }
    }
    await using provider = await startProvider(slowly)
    // Six words take 3.6 s, more than the limit; only the silence after them is as long as it.
    await using app = await openApp({ agents: [claudeAt(provider.url, { timeouts: { idleMs: 3_000 } })] })
    const run = app.client().chat(sessionId).send('Hello')
    await expect(run.message).rejects.toMatchObject({ code: 'RUN_TIMEOUT', data: { kind: 'idle' } })
    expect(textOf(run.answer.content)).toBe('abcdef')
  })
})

describe('a provider that only says that it is alive', () => {
  const pinging: ProviderReply = (call) => {
    void beginning('Well, ')(call)
    const timer = setInterval(() => call.send({ type: 'ping' }), 200)
    void call.hungUp.then(() => clearInterval(timer))
  }

  it('a provider that only sends pings is waited for longer than the idle limit, and its words are the answer', async () => {
    await using provider = await startProvider(async (call) => {
      void pinging(call)
      await new Promise((resolve) => setTimeout(resolve, 4_000))
      call.finish('here I am.')
    })
    await using app = await openApp({ agents: [claudeAt(provider.url, { timeouts: { idleMs: 2_500 } })] })
    const message = await app.client().chat(sessionId).send('Think hard').message
    expect(textOf(message.content)).toBe('Well, here I am.')
    expect(JSON.stringify(message)).not.toContain('ping')
  })

  it('a provider that only sends pings is given up after the total limit', async () => {
    await using provider = await startProvider(pinging)
    await using app = await openApp({
      agents: [claudeAt(provider.url, { timeouts: { idleMs: 2_000, totalMs: 3_000 } })],
    })
    const run = app.client().chat(sessionId).send('Think hard')
    await expect(run.message).rejects.toMatchObject({ code: 'RUN_TIMEOUT', data: { kind: 'total' } })
  })
})

describe('cancelling in mid-answer', () => {
  it('a cancel in mid-answer keeps what was said, closes the connection to the provider and names the last event', async () => {
    await using provider = await startProvider(beginning('Once ', 'upon ', 'a time'), saying('Next.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const runId = crypto.randomUUID()
    await app.mutate('runs.start', { runId, sessionId, message: 'Tell a story' })
    let result: CancelRunResult | undefined
    let lastSeq = 0
    const { events } = await followRaw(app, runId, {
      async onBatch({ batch }) {
        lastSeq = lastSeqOf(batch)
        const hasAll = JSON.stringify(batch).includes('a time')
        if (hasAll) result = await app.mutate<CancelRunResult>('runs.cancel', { runId })
      },
    })
    expect(events.at(-1)?.type).toBe('run_cancelled')
    expect(result).toEqual({ runId, status: 'cancelled', finalSeq: lastSeq, hadEnded: false })
    expect(lastSeq).toBe(events.length)
    expect(await provider.calls[0]?.hungUp).toBe(true)

    const run = await app.query<Run>('runs.get', { runId })
    expect(run).toMatchObject({ status: 'cancelled', lastSeq, error: null })
    const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
    expect(items[1]).toMatchObject({ status: 'cancelled', content: [{ type: 'text', text: 'Once upon a time' }] })
    expect(await app.query<Session>('sessions.get', { sessionId })).toMatchObject({ activeRunId: null })

    // To cancel again changes nothing.
    const again = await app.mutate<CancelRunResult>('runs.cancel', { runId })
    expect(again).toEqual({ runId, status: 'cancelled', finalSeq: lastSeq, hadEnded: true })
    const next = await app.client().chat(sessionId).send('Next').message
    expect(next).toMatchObject({ status: 'completed', seq: 4 })
    await expectIdle(app.engine)
  })

  it('a cancel works before the provider has sent a word', async () => {
    await using provider = await startProvider(() => {})
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const run = app.client().chat(sessionId).send('Hello')
    await vi.waitFor(() => expect(provider.calls).toHaveLength(1), waitOptions)
    const result = await run.cancel()
    expect(result).toMatchObject({ status: 'cancelled', finalSeq: 2, hadEnded: false })
    expect(await provider.calls[0]?.hungUp).toBe(true)
    expect(await run.message).toMatchObject({ status: 'cancelled', content: [] })
  })

  it('a cancel works through a server that does not make the answer', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(beginning('Far ', 'away'))
    const input = { agents: [claudeAt(provider.url)], options: { cancelPollMs: 50 }, database }
    await using maker = await openApp(input)
    await using other = await openApp(input)
    const run = maker.client().chat(sessionId).send('Hello')
    await vi.waitFor(() => expect(textOf(run.answer.content)).toBe('Far away'), waitOptions)
    const result = await other.mutate<CancelRunResult>('runs.cancel', { runId: run.id })
    expect(result).toMatchObject({ status: 'cancelled', hadEnded: false })
    expect(await provider.calls[0]?.hungUp).toBe(true)
    expect(await run.message).toMatchObject({ status: 'cancelled', content: [{ type: 'text', text: 'Far away' }] })
    expect(result.finalSeq).toBe(run.answer.lastSeq)
  })
})
