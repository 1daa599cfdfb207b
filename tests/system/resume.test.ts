/** Dropped connections lose nothing and repeat nothing (P2), wherever the cut is, while the answer is being made and after. */
import { lastSeqOf, textOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { query, startCuttingProxy } from '@verbatim/test-kit/http'
import { beginning, saying, startProvider, textDelta } from '@verbatim/test-kit/provider'
import type { Provider } from '@verbatim/test-kit/provider'
import { countDocuments, openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { openDatabase } from '../support/engine.ts'
import { answerFrom, waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const sessionId = 'session-1'
const words = Array.from({ length: 20 }, (_, nth) => `${nth} größer 🌍 \n`)

async function startRun(app: App): Promise<string> {
  const runId = crypto.randomUUID()
  await app.mutate('runs.start', { runId, sessionId, message: 'Count' })
  return runId
}

interface InStep {
  readonly provider: Provider
  readonly app: App
  readonly runId: string
  /** Whether every connected follower has this event. */
  readonly haveSeen: (seq: number) => boolean
}

/** Makes the answer one word at a time, each after every follower has the last one: a batch a word, whatever the machine. */
async function speakInStep({ provider, app, runId, haveSeen }: InStep): Promise<RunEvent[]> {
  await vi.waitFor(() => expect(provider.calls).toHaveLength(1), waitOptions)
  const [call] = provider.calls
  const left = [...words]
  const { events, hasReturned } = await followRaw(app, runId, {
    async onBatch({ batch }) {
      const last = batch.events.at(-1)
      if (last?.type !== 'content_block_start' && last?.type !== 'content_block_delta') return
      await vi.waitFor(() => expect(haveSeen(lastSeqOf(batch))).toBe(true), { ...waitOptions, interval: 2 })
      const word = left.shift()
      if (word !== undefined) return call!.send(textDelta(word))
      call!.finish()
    },
  })
  expect(hasReturned).toBe(true)
  expect(textOf(answerFrom(events).content)).toBe(words.join(''))
  return events
}

describe('a follower that is dropped and comes back', () => {
  it('a follower that resumes after any event of an archived run receives every event once', async () => {
    await using provider = await startProvider(saying(...words))
    const options = { archiveDelayMs: 50, recoveryMs: 50 }
    await using app = await openApp({ agents: [claudeAt(provider.url)], options })
    const runId = await startRun(app)
    const { events: whole } = await followRaw(app, runId)
    await vi.waitFor(async () => {
      // The last entry stays: its key keeps other processes from writing after the end.
      expect(await countDocuments(app.database)).toMatchObject({ run_events: 1, run_archives: 1 })
    }, waitOptions)
    for (let seq = 0; seq <= whole.length; seq++) {
      const { events, hasReturned } = await followRaw(app, runId, { lastEventId: `${runId}:${seq}` })
      expect([hasReturned, events]).toEqual([true, whole.slice(seq)])
    }
    // As plain events the text and the end have a cursor each, and a cut between them loses neither.
    const frames = (await (await app.fetch(`/chat/sse/${runId}`)).text())
      .split('\n\n')
      .filter((one) => one.includes('id: '))
    const [token, done] = frames
    expect(frames).toEqual([expect.stringContaining('"token"'), expect.stringContaining('"done"')])
    const cursor = /^id: (.*)$/m.exec(token ?? '')?.[1]
    const rest = await (await app.fetch(`/chat/sse/${runId}?lastEventId=${cursor}`)).text()
    expect(rest).toContain(done)
    expect(rest).not.toContain('"token"')
  })

  it('a follower may resume on another server each time', async () => {
    await using database = await openDatabase()
    await using provider = await startProvider(beginning())
    const input = { agents: [claudeAt(provider.url)], database }
    await using maker = await openApp(input)
    await using other = await openApp(input)
    const runId = await startRun(maker)
    let seen = 0
    let visits = 0
    const wandering = (async () => {
      const events: RunEvent[] = []
      for (let lastEventId: string | undefined; events.at(-1)?.type !== 'run_completed'; visits++) {
        const server = visits % 2 === 0 ? other : maker
        const part = await followRaw(server, runId, { lastEventId, maxBatches: 1 })
        events.push(...part.events)
        lastEventId = part.batches.at(-1)?.id
        seen = events.length
      }
      return events
    })()
    const whole = await speakInStep({ provider, app: maker, runId, haveSeen: (seq) => seen >= seq })
    expect(await wandering).toEqual(whole)
    expect(visits).toBeGreaterThan(words.length)
  })
})

describe('the real client', () => {
  it('the client shows the whole answer over connections that are cut after every batch', async () => {
    await using provider = await startProvider(beginning())
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    await using proxy = await startCuttingProxy(
      () => app.url,
      () => ({ batches: 1 }),
    )
    const run = app.client({ url: proxy.url }).chat(sessionId).send('Count')
    const events: RunEvent[] = []
    const reading = (async () => {
      for await (const event of run) events.push(event)
    })()
    await run.started
    const haveSeen = (seq: number) => events.length >= seq
    const whole = await speakInStep({ provider, app, runId: run.id, haveSeen })
    await reading
    expect(events).toEqual(whole)
    expect(run.answer.content).toEqual((await run.message).content)
    expect(proxy.cuts).toBeGreaterThan(words.length)
  })

  it('the client shows the whole answer over connections that are cut inside a frame, a line or a character', async () => {
    await using provider = await startProvider(saying(...words))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    const runId = await startRun(app)
    const { events: whole } = await followRaw(app, runId)
    const stream = await (await app.fetch(query('runs.follow', { runId }))).arrayBuffer()
    // To try every byte would take long; these lie all over the frames.
    for (let bytes = 3; bytes < stream.byteLength - 10; bytes += 61) {
      await using proxy = await startCuttingProxy(
        () => app.url,
        (nth) => (nth === 0 ? { bytes } : undefined),
      )
      const run = app.client({ url: proxy.url }).runs.follow(runId)
      const events: RunEvent[] = []
      for await (const event of run) events.push(event)
      expect([bytes, events]).toEqual([bytes, whole])
      expect(proxy.cuts).toBe(1)
    }
  })

  it('the client starts one run when the response to its start is lost', async () => {
    await using provider = await startProvider(saying('Only ', 'once.'))
    await using app = await openApp({ agents: [claudeAt(provider.url)] })
    let lost = 0
    const lossyFetch: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (!response.url.includes('runs.start') || lost > 0) return response
      lost++
      await response.text()
      throw new TypeError('fetch failed') // as fetch itself says it
    }
    const run = app.client({ fetch: lossyFetch }).chat(sessionId).send('Hello')
    expect(textOf((await run.message).content)).toBe('Only once.')
    expect(lost).toBe(1)
    expect(provider.calls).toHaveLength(1)
    expect(app.engine.stats().runsStarted).toBe(1)
  })
})
