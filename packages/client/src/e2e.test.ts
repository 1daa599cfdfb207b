/** The client against the real API, the real engine and a real MongoDB. */
import { getEventListeners } from 'node:events'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { ApiInput } from '@verbatim/api'
import { randomUuid, textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import { startCuttingProxy } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { chatStore } from './stores/chat-store.ts'
import { collect, connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const words = Array.from({ length: 40 }, (_, index) => `word${index} größer 🌍 `)

/** Says its words one a batch, however slow the database is: each is stored before the next. `Say <n>` in the prompt says how many. */
const speaker: Agent = {
  id: 'speaker',
  async *stream(request, signal): AsyncGenerator<AgentEvent> {
    const prompt = textOf(request.messages.at(-1)?.content ?? [])
    const count = Number(/Say (\d+)/.exec(prompt)?.[1] ?? words.length)
    yield { type: 'message_start', message: { model: 'speaker', usage: { input_tokens: 3 } } }
    yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
    for (let index = 0; index < count; index++) {
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: words[index % words.length]! } }
      await delay(prompt.includes('slowly') ? 100 : 5, undefined, { signal })
      while (test.engine.stats().pendingBytes > 0) await turn()
    }
    yield { type: 'content_block_stop', index: 0 }
    const usage = { output_tokens: count }
    yield { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage }
    yield { type: 'message_stop' }
  },
}

let test: Awaited<ReturnType<typeof openTestEngine>>
beforeAll(async () => {
  test = await openTestEngine({ uri: inject('mongoUri'), agents: [speaker] })
})
afterAll(async () => await test[Symbol.asyncDispose]())

async function serve(options: Partial<ApiInput> = {}) {
  return await serveEngine(test.engine, options)
}

const newSession = (): string => `s-${randomUuid()}`

describe('a prompt', () => {
  it('is answered word by word, and the message is what was streamed and what is stored', async () => {
    await using server = await serve()
    const client = connect(server)
    const sessionId = newSession()
    const run = client.chat(sessionId).send('Say 40')
    const pieces = await collect(run.text)
    expect(pieces).toHaveLength(40)
    expect(pieces.join('')).toBe(words.join(''))
    const message = await run.message
    expect(message).toMatchObject({ status: 'completed', role: 'assistant', agentId: 'speaker', runId: run.id })
    expect(message.content).toEqual(run.answer.content)
    expect(message.metrics).toMatchObject({ inputTokens: 3, outputTokens: 40, model: 'speaker' })
    expect(run.answer.metrics).toEqual(message.metrics)
    const page = await client.messages.list(sessionId)
    expect(page.items.map(({ role }) => role)).toEqual(['user', 'assistant'])
    expect(page.items[1]).toEqual(message)
    expect(await run.started).toMatchObject({ id: run.id, userMessageId: page.items[0]!.id })
    expect(await client.sessions.get(sessionId)).toMatchObject({ activeRunId: null, messageCount: 2 })
    expect(await client.runs.get(run.id)).toMatchObject({ status: 'completed', messageId: message.id })
    expect((await client.runs.list(sessionId)).items).toHaveLength(1)
  })

  it('may be sent twice under one id: it is one run', async () => {
    await using server = await serve()
    const client = connect(server)
    const sessionId = newSession()
    const runId = randomUuid()
    const [first, second] = [1, 2].map(() => client.chat(sessionId).send('Say 5', { runId }))
    expect(await first!.message).toEqual(await second!.message)
    expect(await collect(first!)).toEqual(await collect(second!))
    expect((await client.messages.list(sessionId)).items).toHaveLength(2)
    const other = client.chat(sessionId).send('Say 6', { runId })
    await expect(collect(other)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })

  it('is refused with the active run’s id while the session is busy', async () => {
    await using server = await serve()
    const client = connect(server)
    const sessionId = newSession()
    const first = client.chat(sessionId).send('Say 100 slowly')
    await first.started
    const second = client.chat(sessionId).send('Say 5')
    await expect(second.started).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: first.id } })
    await expect(collect(second)).rejects.toMatchObject({ code: 'SESSION_BUSY' })
    await first.cancel()
    expect(await first.message).toMatchObject({ status: 'cancelled' })
  })

  it('can be stopped: the text ends and the message keeps what is there', async () => {
    await using server = await serve()
    const run = connect(server).chat(newSession()).send('Say 100 slowly')
    const pieces: string[] = []
    for await (const text of run.text) {
      pieces.push(text)
      if (pieces.length === 2) await run.cancel()
    }
    const message = await run.message
    expect(message.status).toBe('cancelled')
    expect(textOf(message.content)).toBe(pieces.join(''))
    expect(run.status).toBe('cancelled')
  })
})

describe('a run that is followed', () => {
  it('over connections that are cut after every single batch is the same as uncut', async () => {
    await using server = await serve()
    await using proxy = await startCuttingProxy(
      () => server.url,
      () => ({ batches: 1 }),
    )
    const uncut = connect(server).chat(newSession()).send('Say 40')
    const whole = await collect(uncut)
    const again = connect(proxy).runs.follow(uncut.id)
    expect(await collect(again)).toEqual(whole)
    expect(await again.message).toEqual(await uncut.message)
  })

  it('goes on after every one of its cursors with exactly what comes next', async () => {
    await using server = await serve()
    const client = connect(server)
    const run = client.chat(newSession()).send('Say 20')
    const batches = await collect(run.batches)
    const all = batches.flatMap((batch) => batch.events)
    await Promise.all(
      batches.map(async ({ cursor, firstSeq, events }) => {
        const rest = client.runs.follow(run.id, { after: cursor })
        expect(await collect(rest)).toEqual(all.slice(firstSeq - 1 + events.length))
        expect(await rest.message).toEqual(await run.message)
      }),
    )
  })

  it('goes on elsewhere when its server goes away in mid-answer', async () => {
    const first = await serve()
    await using second = await serve()
    let target = first.url
    await using proxy = await startCuttingProxy(() => target)
    const run = connect(proxy).chat(newSession()).send('Say 60')
    const reading = collect(run.text)
    await expect.poll(() => run.answer.lastSeq).toBeGreaterThan(5)
    target = second.url
    await first[Symbol.asyncDispose]()
    expect((await reading).join('')).toBe([...words, ...words.slice(0, 20)].join(''))
    expect(await run.message).toMatchObject({ status: 'completed' })
  })

  it('belongs to its owner: another user’s follow is refused', async () => {
    await using server = await serve({
      authenticate: ({ headers }) => ({ userId: headers.get('authorization') ?? 'unknown' }),
    })
    const run = connect(server, { token: () => 'ada' })
      .chat(newSession())
      .send('Say 3')
    await run.message
    const other = connect(server, { token: () => 'bob' }).runs.follow(run.id)
    await expect(collect(other)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it('goes on with a new token when the old one has run out', async () => {
    const valid = new Set(['Bearer one'])
    await using server = await serve({
      authenticate: ({ headers }) => (valid.has(headers.get('authorization') ?? '') ? { userId: 'ada' } : null),
    })
    await using proxy = await startCuttingProxy(() => server.url)
    const refreshes: boolean[] = []
    const token = ({ refresh }: { refresh: boolean }) => {
      refreshes.push(refresh)
      return refresh ? 'two' : 'one'
    }
    const run = connect(proxy, { token }).chat(newSession()).send('Say 60')
    await expect.poll(() => run.answer.lastSeq).toBeGreaterThan(5)
    valid.clear()
    valid.add('Bearer two')
    proxy.cut()
    expect((await collect(run.text)).join('')).toContain('word39')
    expect(await run.message).toMatchObject({ status: 'completed' })
    expect(refreshes).toContain(true)
  })
})

describe('a client', () => {
  it('with twelve runs at once adds no signal its eleventh listener, of which Node 20 warns as of a leak', async () => {
    await using server = await serve()
    const signals = new Set<AbortSignal>()
    const { addEventListener } = AbortSignal.prototype
    const spy = vi.spyOn(AbortSignal.prototype, 'addEventListener').mockImplementation(function (
      this: AbortSignal,
      ...rest: Parameters<typeof addEventListener>
    ) {
      signals.add(this)
      addEventListener.apply(this, rest)
    })
    const client = connect(server)
    const runs = Array.from({ length: 12 }, () => client.chat(newSession()).send('Say 5 slowly'))
    await Promise.all(runs.map(async ({ started }) => await started))
    await expect.poll(() => runs.every(({ answer }) => answer.lastSeq > 0)).toBe(true)
    spy.mockRestore()
    expect(signals.size).toBeGreaterThan(12)
    expect(Math.max(...[...signals].map((signal) => getEventListeners(signal, 'abort').length))).toBeLessThanOrEqual(10)
    await Promise.all(runs.map(async ({ message }) => await message))
  })
})

describe('a chat store', () => {
  it('goes on in mid-answer after a reload, and ends with the stored messages', async () => {
    await using server = await serve()
    const sessionId = newSession()
    const before = connect(server)
    const tab = chatStore(before, sessionId)
    const leave = tab.subscribe(() => {})
    expect(await tab.send('Say 30 slowly')).toBe(true)
    await expect.poll(() => textOf(tab.getSnapshot().messages[1]?.content ?? [])).toContain('word1')
    leave()
    before.close()

    const client = connect(server)
    const reloaded = chatStore(client, sessionId)
    const stop = reloaded.subscribe(() => {})
    await expect.poll(() => reloaded.getSnapshot().status).toBe('streaming')
    expect(reloaded.getSnapshot().messages).toHaveLength(2)
    await expect.poll(() => textOf(reloaded.getSnapshot().messages[1]?.content ?? [])).toContain('word4')
    await expect.poll(() => reloaded.getSnapshot().status).toBe('idle')
    const { items } = await client.messages.list(sessionId)
    await expect
      .poll(() => reloaded.getSnapshot().messages)
      .toMatchObject(items.map(({ id, content, metrics }) => ({ id, content, metrics })))
    stop()
  })
})
