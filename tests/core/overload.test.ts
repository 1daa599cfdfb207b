/** A process that has too much to do refuses starts before anything of them is stored, and what it has taken on goes on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createApi } from '@verbatim/api'
import { isVerbatimError, ownerOf, textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { json, serve } from '@verbatim/test-kit/http'
import { expect, it, vi } from 'vitest'
import { answerOf, textDelta } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { answerFrom, followAll, waitOptions } from '../support/follow.ts'
import { echoAgent } from '../support/queue.ts'

const ownerAt = (at: number) => ownerOf({ userId: `user-${at}`, tenantId: 'default', scopes: [] })

/** The run, or the code and the kind of the refusal. */
async function tryStart(engine: Engine, at: number, runId: string = crypto.randomUUID()): Promise<string> {
  const start = engine.runs.start(ownerAt(at), { runId, sessionId: `session-${at}`, message: 'Hello' })
  return await start.then(
    () => 'started',
    (error: unknown) => (isVerbatimError(error) ? `${error.code} ${error.data.kind}` : String(error)),
  )
}

/** Words, one each 20 ms, until the signal aborts; then the end. */
async function* talkUntil(isOver: AbortSignal): AsyncGenerator<AgentEvent> {
  yield* answerOf([]).slice(0, 2)
  do {
    yield textDelta('word ')
    await sleep(20)
  } while (!isOver.aborted)
  yield textDelta('the end')
  yield* answerOf([]).slice(2)
}

async function answersOf(engine: Engine, runs: ReadonlyMap<number, string>): Promise<string[]> {
  const statusOf = async (at: number, runId: string) => (await engine.runs.get(ownerAt(at), runId)).status
  return await Promise.all([...runs].map(async ([at, runId]) => await statusOf(at, runId)))
}

it('of many starts at once as many are taken as may wait, the others are refused and not stored, and a refused one may come again', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents: [echoAgent()], options: { overload: { maxStarting: 8 } } })
  const runIds = new Map(Array.from({ length: 64 }, (_, at) => [at, crypto.randomUUID()]))
  const outcomes = await Promise.all([...runIds].map(async ([at, runId]) => await tryStart(engine, at, runId)))
  const refused = outcomes.flatMap((outcome, at) => (outcome === 'started' ? [] : [at]))
  expect(new Set(outcomes)).toEqual(new Set(['started', 'OVERLOADED starts']))
  expect(refused).toHaveLength(64 - 8)
  const stored = await database.client.db(database.databaseName).collection('runs').countDocuments()
  expect(stored).toBe(8)
  const [again = 0] = refused
  expect(await tryStart(engine, again, runIds.get(again))).toBe('started')
  const taken = new Map([...runIds].filter(([at]) => at === again || !refused.includes(at)))
  await expect.poll(async () => new Set(await answersOf(engine, taken)), waitOptions).toEqual(new Set(['completed']))
})

it('a flood of one owner leaves places for the others', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents: [echoAgent()], options: { overload: { maxStarting: 8 } } })
  const flood = Array.from({ length: 20 }, async () => await tryStart(engine, 1))
  const other = tryStart(engine, 2)
  expect(await other).toBe('started')
  expect(await Promise.all(flood)).toContain('OVERLOADED starts')
})

it('while the event loop is late a process takes no start more, its runs go on, and after that it takes starts again', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const options = { overload: { maxDelayMs: 80 } }
  await using engine = openEngine(database, { agents: [echoAgent({ gate })], options })
  const runIds = new Map(Array.from({ length: 40 }, (_, at) => [at, crypto.randomUUID()]))
  for (const [at, runId] of runIds) expect(await tryStart(engine, at, runId)).toBe('started')
  await vi.waitFor(() => expect(gate.arrivals).toBe(40), waitOptions)
  const busy = setInterval(() => {
    const until = performance.now() + 120
    while (performance.now() < until);
  }, 10)
  try {
    await expect.poll(async () => await tryStart(engine, 100), waitOptions).toBe('OVERLOADED loop')
    gate.open()
    await expect.poll(async () => new Set(await answersOf(engine, runIds)), waitOptions).toEqual(new Set(['completed']))
  } finally {
    clearInterval(busy)
  }
  await expect.poll(async () => await tryStart(engine, 101), waitOptions).toBe('started')
})

it('while each commit is late a server answers starts with 503, stores nothing of them and says that it lives; its answers reach their ends', async () => {
  await using database = await openDatabase()
  const isOver = new AbortController()
  let commitMs = 0
  await using engine = openEngine(database, {
    agents: [{ id: 'talks', stream: () => talkUntil(isOver.signal) }],
    wrap: ({ eventLog }) => ({
      eventLog: {
        ...eventLog,
        async append(entries, options) {
          await sleep(commitMs)
          return await eventLog.append(entries, options)
        },
      },
    }),
  })
  const api = createApi({ engine, authenticate: () => ({ userId: 'user-0' }) })
  await using site = await serve(api)
  const runIds = new Map(Array.from({ length: 40 }, (_, at) => [at, crypto.randomUUID()]))
  for (const [at, runId] of runIds) expect(await tryStart(engine, at, runId)).toBe('started')
  const texts = [...runIds].map(async ([at, id]) =>
    textOf(answerFrom(await followAll(engine, id, { owner: ownerAt(at) })).content),
  )
  commitMs = 100
  const start = async (runId: string = crypto.randomUUID()) =>
    await site.fetch('/trpc/runs.start', json({ runId, sessionId: `session-${runId}`, message: 'Hello' }))
  await expect.poll(async () => (await start()).status, waitOptions).toBe(503)
  const runId = crypto.randomUUID()
  const refused = await start(runId)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(2)
  const kind: unknown = expect.stringMatching(/^(commits|loop)$/)
  expect(await refused.json()).toMatchObject({
    error: { data: { verbatim: { code: 'OVERLOADED', data: { kind } } } },
  })
  await expect(engine.runs.get(ownerAt(0), runId)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  expect(await (await site.fetch('/health/live')).json()).toMatchObject({ status: 'live' })
  expect((await site.fetch('/health/ready')).status).toBe(200)
  isOver.abort()
  for (const text of await Promise.all(texts)) expect(text).toMatch(/^(word )+the end$/)
  await expect.poll(async () => new Set(await answersOf(engine, runIds)), waitOptions).toEqual(new Set(['completed']))
  await expect.poll(async () => (await start(runId)).status, waitOptions).toBe(200)
})

it('a process whose option is off takes what comes', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents: [echoAgent()], options: { overload: false } })
  const outcomes = await Promise.all(Array.from({ length: 64 }, async (_, at) => await tryStart(engine, at)))
  expect(new Set(outcomes)).toEqual(new Set(['started']))
})
