/** A follow of a run that is not there ends with a refusal that is final, however many there are, and looking for it changes nothing. */
import { getEventListeners } from 'node:events'
import { toCursor } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import { expect, inject, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openApp } from '../support/app.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { env } from '../support/env.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const agents = [pacedAgent(answerOf(['Here ', 'I am']))]

/** No loop of the engine asks the database of anything meanwhile. */
const quietLoops = {
  heartbeatMs: 200_000,
  selfFenceMs: 400_000,
  leaseMs: 600_000,
  recoveryMs: 600_000,
  cancelPollMs: 600_000,
  sweepMs: 600_000,
  archiveDelayMs: 600_000,
}

/** Counts the commands of one engine, by name. */
async function openCounted(startWaitMs: number) {
  const database = await openDatabase()
  const client = createMongoClient(inject('mongoUri'))
  client.options.monitorCommands = true
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  let commands: Record<string, number> = {}
  client.on('commandStarted', ({ commandName }) => (commands[commandName] = (commands[commandName] ?? 0) + 1))
  const engine = createEngine({ ...storage, agents }, { ...quietLoops, pollMs: 500, startWaitMs })
  // Each loop looks once at its start, and then not for minutes.
  let seen = -1
  await vi.waitFor(
    () => {
      const before = seen
      seen = Object.values(commands).reduce((sum, count) => sum + count, 0)
      expect(commands['findAndModify']).toBe(1)
      expect(seen).toBe(before)
    },
    { timeout: waitOptions.timeout, interval: 500 },
  )
  commands = {}
  return {
    engine,
    commands,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await client.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

it.for([
  ['its beginning', 0],
  ['a cursor', 7],
] as const)(
  '1,000 follows of unknown runs from %s end with RUN_NOT_FOUND, without a write and with few reads',
  async ([, seq]) => {
    await using counted = await openCounted(1_200)
    const { engine, commands } = counted
    const follows = Array.from({ length: 1_000 }, async () => {
      const runId = crypto.randomUUID()
      const after = seq === 0 ? {} : { after: toCursor(runId, seq) }
      for await (const _ of engine.runs.follow(ada, runId, after)) throw new Error('An unknown run has an event')
    })
    const codes = (await Promise.allSettled(follows)).map(
      (result) => result.status === 'rejected' && result.reason.code,
    )
    expect(new Set(codes)).toEqual(new Set(['RUN_NOT_FOUND']))
    await expectIdle(engine)
    // The change stream: its opening, and its waits for news.
    const { hello = 0, aggregate = 0, getMore = 0, killCursors = 0, ...others } = commands
    expect(aggregate + getMore + killCursors).toBeLessThan(20)
    expect(Object.keys(others)).toEqual(['find'])
    // Up to a thousand runs share a read. On a slow machine fewer of them come together: 35 to 62 were seen, where one a follow would be thousands.
    expect(hello + (others['find'] ?? 0)).toBeLessThan(100)
  },
)

it('1,000 clients that follow unknown runs over HTTP receive a refusal that keeps them away', async () => {
  // One caller makes them all; the pace that would slow it is no matter here.
  await using app = await openApp({ agents, options: { startWaitMs: 300 }, api: { maxBytesPerSecond: 2 ** 40 } })
  const follow = async (at: number) => {
    const runId = crypto.randomUUID()
    const path = `/trpc/runs.follow?input=${encodeURIComponent(JSON.stringify({ runId }))}`
    const response = await app.fetch(at % 50 === 0 ? `/chat/sse/${runId}` : path)
    const text = await response.text()
    return text.includes('RUN_NOT_FOUND') && (response.status === 404 || text.includes('serialized-error'))
  }
  let refused = 0
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(Array.from({ length: 500 }, (_, at) => follow(at)))
    refused += answers.filter(Boolean).length
  }
  expect(refused).toBe(1_000)
})

it('runs.get of an unknown run costs no write', async () => {
  await using counted = await openCounted(100)
  await expect(counted.engine.runs.get(ada, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  expect(Object.keys(counted.commands).toSorted()).toEqual(['find', 'hello'])
})

it('a follow that waits for its run receives it at once when another process starts it, among 500 that wait in vain', async () => {
  await using database = await openDatabase()
  const options = { startWaitMs: 30_000, pollMs: 10_000 }
  await using here = openEngine(database, { agents })
  await using there = openEngine(database, { agents, options })
  const stop = new AbortController()
  const inVain = Array.from({ length: 500 }, async () => {
    await there.runs.follow(ada, crypto.randomUUID(), { signal: stop.signal }).next()
  })
  const runId = crypto.randomUUID()
  const following = followAll(there, runId)
  await vi.waitFor(() => expect(there.stats().followers).toBe(501), waitOptions)
  const startedAt = performance.now()
  await startRun(here, { runId })
  expect(answerFrom(await following).status).toBe('completed')
  // The poll would find it only after 10 s.
  expect(performance.now() - startedAt).toBeLessThan(9_000)
  stop.abort()
  await Promise.allSettled(inVain)
})

it('twelve follows that wait for their runs add no signal its eleventh listener, of which Node 20 warns as of a leak', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents, options: { startWaitMs: 1_000 } })
  let most = 0
  const { addEventListener } = AbortSignal.prototype
  const spy = vi.spyOn(AbortSignal.prototype, 'addEventListener').mockImplementation(function (
    this: AbortSignal,
    ...rest: Parameters<typeof addEventListener>
  ) {
    addEventListener.apply(this, rest)
    most = Math.max(most, getEventListeners(this, 'abort').length)
  })
  const follows = Array.from({ length: 12 }, async () => await followAll(engine, crypto.randomUUID()))
  const ends = await Promise.allSettled(follows)
  spy.mockRestore()
  expect(ends).toEqual(
    follows.map(() => ({ status: 'rejected', reason: expect.objectContaining({ code: 'RUN_NOT_FOUND' }) as unknown })),
  )
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(10)
})

it('a follow does not end with RUN_NOT_FOUND while the database is away, and finds its run after the election', async () => {
  await using mongo = await startReplicaSet({ env })
  await using client = createMongoClient(mongo.uri)
  const storage = createMongoStorage({ client, databaseName: 'away', clock: systemClock })
  await storage.migrate()
  const findStored = vi.fn<typeof storage.runRepository.findStored>(storage.runRepository.findStored)
  const watched = { ...storage, runRepository: { ...storage.runRepository, findStored } }
  await using impatient = createEngine({ ...storage, agents }, { startWaitMs: 500, pollMs: 100 })
  await using patient = createEngine({ ...watched, agents }, { startWaitMs: 60_000, pollMs: 100 })
  const runId = crypto.randomUUID()
  const early = followAll(patient, runId)
  // The first answer is the follow's own; a look of the process comes when the follow waits.
  const answered = () => findStored.mock.settledResults.filter(({ type }) => type === 'fulfilled')
  await vi.waitFor(() => expect(answered().length).toBeGreaterThan(1), waitOptions)
  const primary = await mongo.primaryIndex()
  // Two of three, so that there is no election before the follow has been answered.
  const other = (primary + 1) % 3
  await mongo.kill(primary, 'SIGSTOP')
  await mongo.kill(other, 'SIGSTOP')
  await expect(followAll(impatient, crypto.randomUUID())).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await mongo.kill(other, 'SIGCONT')
  await vi.waitFor(async () => await startRun(impatient, { runId }), { timeout: 40_000, interval: 250 })
  expect(answerFrom(await early).status).toBe('completed')
  await mongo.kill(primary, 'SIGCONT')
}, 90_000)
