/** Tabs that share one connection: real Web Locks and a real BroadcastChannel, the real API and a real MongoDB. */
import { setTimeout as delay } from 'node:timers/promises'
import { reduceEvents, emptyAnswer, textOf } from '@verbatim/core'
import type { AgentEvent, Answer, EventBatch } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, inject, it, vi } from 'vitest'
import type { ApiInput } from '@verbatim/api'
import type { ClientOptions, VerbatimClient } from '../create-client.ts'
import { connect } from '../testing/connect.ts'
import { serveEngine } from '../testing/serve-engine.ts'
import { shareStreams } from './index.ts'

const words = Array.from({ length: 60 }, (_, index) => `w${index} `)

const speaker: Agent = {
  id: 'speaker',
  async *stream(_request, signal): AsyncGenerator<AgentEvent> {
    yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
    for (const text of words) {
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      await delay(3, undefined, { signal })
    }
    yield { type: 'content_block_stop', index: 0 }
  },
}

let test: Awaited<ReturnType<typeof openTestEngine>>
beforeAll(async () => {
  test = await openTestEngine({ uri: inject('mongoUri'), agents: [speaker] })
})
afterAll(async () => await test[Symbol.asyncDispose]())

afterEach(() => void vi.unstubAllGlobals())

/** A server, and tabs of one browser at it. `streams` are the follows that are open at the server. */
async function openBrowser(user: string = crypto.randomUUID(), options: Partial<ApiInput> = {}) {
  const server = await serveEngine(test.engine, options)
  const tabs: VerbatimClient[] = []
  const paths: string[] = []
  let streams = 0
  let most = 0
  const counted: typeof fetch = async (input, init) => {
    const path = new URL(input instanceof Request ? input.url : input).pathname
    const response = await fetch(input, init)
    if (!path.endsWith('.follow') || response.body === null) return response
    paths.push(path)
    most = Math.max(most, ++streams)
    init?.signal?.addEventListener('abort', () => streams--, { once: true })
    return response
  }
  return {
    openTab(share = { user, answerMs: 300 }, more: Partial<ClientOptions> = {}) {
      const tab = connect(server, { streams: shareStreams(share), fetch: counted, ...more })
      tabs.push(tab)
      return tab
    },
    paths,
    get most() {
      return most
    },
    async [Symbol.asyncDispose]() {
      for (const tab of tabs) tab.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

it('seven tabs with a run each have one stream at the server, and each its own answer', async () => {
  await using browser = await openBrowser()
  const tabs = Array.from({ length: 7 }, () => browser.openTab())
  const answers = tabs.map(async (tab, index) => textOf((await tab.chat(`seven-${index}`).send('go').message).content))
  expect(await Promise.all(answers)).toEqual(tabs.map(() => words.join('')))
  expect(new Set(browser.paths)).toEqual(new Set(['/trpc/sessions.follow']))
  expect(browser.most).toBeLessThanOrEqual(2) // while it is opened with another topic
})

it('every tab sees the list and the session that another tab changes', async () => {
  await using browser = await openBrowser()
  const tabs = Array.from({ length: 3 }, () => browser.openTab())
  const sessionId = crypto.randomUUID()
  const seen = tabs.map(() => ({ count: 0, listed: false }))
  const follows = tabs.map(async (tab, index) => {
    for await (const state of tab.sessions.follow({ sessionIds: [sessionId], list: true })) {
      if (state.type === 'session') seen[index]!.count = state.session?.messageCount ?? 0
      if (state.type === 'list') seen[index]!.listed = state.sessions.some(({ id }) => id === sessionId)
      if (seen[index]!.count === 2 && seen[index]!.listed) return
    }
  })
  await tabs[1]!.chat(sessionId).send('go').message
  await Promise.all(follows)
  expect(seen).toEqual(tabs.map(() => ({ count: 2, listed: true })))
})

it('a tab that waits for its lock longer than for the leader is served all the same', async () => {
  const user = crypto.randomUUID()
  await using browser = await openBrowser(user)
  const first = browser.openTab()
  await first.sessions.follow({ list: true }).next()
  const { locks } = navigator
  let isFirst = true
  const request = async (...[name, ...rest]: [string, ...unknown[]]) => {
    if (isFirst) {
      isFirst = false // the lock that says that the tab lives
      await delay(150)
    }
    return await Reflect.apply(locks.request, locks, [name, ...rest])
  }
  vi.stubGlobal('navigator', { locks: { request, query: () => locks.query() } })
  const tab = browser.openTab({ user, answerMs: 60_000 })
  const { value } = await tab.sessions.follow({ list: true }).next()
  expect(value).toMatchObject({ type: 'list' })
  await tab.chat('late').send('go').message
  expect(browser.paths.length).toBeLessThanOrEqual(4)
})

it('tabs of different users share nothing', async () => {
  await using browser = await openBrowser()
  const [one, two] = [browser.openTab({ user: 'one', answerMs: 300 }), browser.openTab({ user: 'two', answerMs: 300 })]
  await Promise.all([one.chat('of-one').send('go').message, two.chat('of-two').send('go').message])
  expect(browser.paths.length).toBeGreaterThanOrEqual(2)
})

it('a tab whose leader is frozen follows by itself, from its own place, until a leader answers', async () => {
  const user = crypto.randomUUID()
  await using browser = await openBrowser(user)
  const first = browser.openTab()
  await first.sessions.follow({ list: true }).next()
  const { held = [] } = await navigator.locks.query()
  // The shorter name is the leader's; the other one says that the tab lives.
  const [leaderLock = ''] = held
    .flatMap(({ name = '' }) => (name.includes(user) ? [name] : []))
    .toSorted((a, b) => a.length - b.length)
  const thawed = new AbortController()
  const frozen = navigator.locks.request(leaderLock, async () => {
    await new Promise((resolve) => thawed.signal.addEventListener('abort', resolve))
  })
  first.close()
  const tab = browser.openTab()
  expect(textOf((await tab.chat('frozen').send('go').message).content)).toBe(words.join(''))
  thawed.abort()
  await frozen
  expect(textOf((await tab.chat('thawed').send('go').message).content)).toBe(words.join(''))
})

it.each([
  ['Web Locks', 'navigator', {}],
  ['BroadcastChannel', 'BroadcastChannel', undefined],
])('without %s each tab has one stream, for its run and for its list', async (_name, missing, value) => {
  vi.stubGlobal(missing, value)
  await using browser = await openBrowser()
  const tabs = [browser.openTab(), browser.openTab()]
  const lists = tabs.map((tab) => tab.sessions.follow({ list: true }))
  await Promise.all(lists.map(async (list) => await list.next()))
  const answers = tabs.map(async (tab, index) => textOf((await tab.chat(`alone-${index}`).send('go').message).content))
  expect(await Promise.all(answers)).toEqual(tabs.map(() => words.join('')))
  expect(new Set(browser.paths)).toEqual(new Set(['/trpc/sessions.follow']))
  expect(browser.most).toBeLessThanOrEqual(4) // two, and each while it is opened with another topic
})

it('a tab whose leader loses its token in mid-run goes on with its own token, from its own place', async () => {
  const revoked = new Set<string | null>()
  await using browser = await openBrowser(crypto.randomUUID(), {
    reauthenticateMs: 20,
    authenticate: ({ headers }) => {
      const token = headers.get('authorization')
      return revoked.has(token) ? null : { userId: 'ada' }
    },
  })
  const share = { user: crypto.randomUUID(), answerMs: 300 }
  const leader = browser.openTab(share, { token: () => 'of-the-leader' })
  const leading = leader.sessions.follow({ list: true })
  await leading.next()
  const tab = browser.openTab(share, { token: () => 'of-the-tab' })
  const run = tab.chat('revoked').send('go')
  const { batches, ended } = readBatches(run.batches)
  await expect.poll(() => batches.length).toBeGreaterThan(5)
  revoked.add('Bearer of-the-leader')
  const isRefused = async () => {
    for await (const _state of leading);
  }
  await expect(isRefused()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  await ended
  expect(textOf(batches.reduce(reduceExactly, emptyAnswer).content)).toBe(words.join(''))
  // The leading tab has no right any more, and keeps no other tab from what is new.
  expect(textOf((await tab.chat('revoked').send('go').message).content)).toBe(words.join(''))
})

const plan = fc.record({
  tabs: fc.integer({ min: 2, max: 5 }),
  runs: fc.integer({ min: 1, max: 3 }),
  /** After so many ms the leading tab (or another one) dies. */
  deaths: fc.array(fc.record({ afterMs: fc.nat({ max: 120 }), isLeader: fc.boolean() }), { maxLength: 4 }),
})

it('whichever tabs die, every other tab receives each event of each run once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ tabs: count, runs: runCount, deaths }) => {
      await using browser = await openBrowser()
      const alive = Array.from({ length: count }, () => browser.openTab())
      const ids = Array.from({ length: runCount }, () => crypto.randomUUID())
      const readers = alive.map((tab) => ids.map((runId) => readRun(tab, runId)))
      await Promise.all(
        ids.map(async (runId) => {
          const { sessionId, message } = { sessionId: crypto.randomUUID(), message: 'go' }
          await alive.at(-1)!.trpc.runs.start.mutate({ sessionId, runId, message })
        }),
      )
      for (const { afterMs, isLeader } of deaths) {
        await delay(afterMs)
        // The oldest tab has the lock; one tab stays.
        if (alive.length > 1) (isLeader ? alive.shift() : alive.pop())?.close()
      }
      for (const reader of readers.flat()) await reader.ended
      for (const { batches, failure } of readers.flat()) {
        // A gap or a doubled batch is an error of the reducer; what was cut is a beginning.
        const { status, content } = batches.reduce(reduceExactly, emptyAnswer)
        const isWhole = failure.error === undefined
        expect(words.join('').startsWith(textOf(content))).toBe(true)
        expect(status === 'completed' && textOf(content) === words.join('')).toBe(isWhole)
      }
      const whole = readers.filter((ofTab) => ofTab.every(({ failure }) => failure.error === undefined))
      expect(whole.length).toBeGreaterThanOrEqual(alive.length)
    }),
    { numRuns: 12, endOnFailure: true },
  )
}, 120_000)

function reduceExactly(answer: Answer, batch: EventBatch): Answer {
  if (batch.firstSeq !== answer.lastSeq + 1) throw new Error(`Seq ${batch.firstSeq} came after ${answer.lastSeq}`)
  return reduceEvents(answer, batch)
}

function readRun(tab: VerbatimClient, runId: string) {
  const failure: { error?: unknown } = {}
  const { batches, ended } = readBatches(tab.runs.follow(runId).batches)
  return { batches, failure, ended: ended.catch((error: unknown) => void (failure.error = error)) }
}

function readBatches(source: AsyncIterable<EventBatch>) {
  const batches: EventBatch[] = []
  const read = async () => {
    for await (const batch of source) batches.push(batch)
  }
  return { batches, ended: read() }
}
