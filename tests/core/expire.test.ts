/** Expired events: all of them go, their followers end, and the receipts say how many there were. */
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { collectionsWith, dbOf, receiptsOf } from '../support/deleted.ts'
import { openEngine, openLongLog, openOne } from '../support/engine.ts'
import { ada, followAll, waitOptions, startRun } from '../support/follow.ts'

const canary = 'the treasure is under the oak'
const agents = [pacedAgent(answerOf([canary, canary]))]
const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const sweeping = { archiveDelayMs: 1, eventRetentionMs: 1, sweepMs: 20 }

it('two sweepers at once remove expired events with receipts that count each run once', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  await using engine = openEngine(database, { agents, options: still })
  const runIds = Array.from({ length: 12 }, () => crypto.randomUUID())
  let events = 0
  for (const [at, runId] of runIds.entries()) {
    events += (await followAll(engine, await startRun(engine, { runId, sessionId: `session-${at % 3}` }))).length
  }
  await using _one = openEngine(database, { agents, options: sweeping })
  await using _two = openEngine(database, { agents, options: sweeping })
  const db = dbOf(database)
  await vi.waitFor(async () => {
    expect(
      await db.collection('runs').countDocuments({ $or: [{ toArchive: true }, { sweepAt: { $exists: true } }] }),
    ).toBe(0)
  }, waitOptions)
  expect([
    await db.collection('run_events').countDocuments(),
    await db.collection('run_archives').countDocuments(),
  ]).toEqual([0, 0])
  const receipts = await receiptsOf(database)
  expect(new Set(receipts.map((receipt) => receipt.action))).toEqual(new Set(['events_expired']))
  const sum = (name: string) => receipts.reduce((total, { counts }) => total + (counts[name] ?? 0), 0)
  expect({ runs: sum('runs'), events: sum('events') }).toEqual({ runs: 12, events })
  for (const after of [0, 1, 4]) {
    await expect(followAll(engine, runIds[0] ?? '', { after })).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  }
  expect(await collectionsWith(database, canary)).toEqual(['messages'])
})

it('an expired run is counted once when a slow archiver marks it again after the sweeper', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const events = await followAll(engine, await startRun(engine, { runId: 'slowly-archived' }))
  const { eventLog, runRepository, deletionRepository } = database.storage
  const key = eventLog.keyOf(ada, 'slowly-archived')
  const due = { expiresAt: new Date(0) }
  const sweep = { maxRuns: 100, signal: AbortSignal.timeout(20_000) }
  await eventLog.archive([key], due)
  await runRepository.markArchived([key], due)
  expect(await deletionRepository.sweepRuns(sweep)).toBe(1)
  await runRepository.markArchived([key], due)
  expect(await deletionRepository.sweepRuns(sweep)).toBe(0)
  expect(await receiptsOf(database)).toMatchObject([{ counts: { runs: 1, events: events.length } }])
})

it('a follower in the middle of a log ends when its events expire', async () => {
  await using test = await openLongLog(canary, still)
  const { engine, database } = test
  const runId = await startRun(engine)
  const events = await followAll(engine, runId)
  const key = database.storage.eventLog.keyOf(ada, runId)
  let batches = 0
  const slow = followAll(engine, runId, {
    async onBatch() {
      if (++batches > 1) return
      await database.storage.eventLog.archive([key], { expiresAt: new Date('2100-01-01') })
      await dbOf(database).collection('run_archives').deleteMany({})
    },
  })
  await expect(slow).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  expect(batches).toBeLessThanOrEqual(64)
  // Only the end is left, and when it is swept not even that.
  expect(await followAll(engine, runId, { after: events.length })).toEqual([])
  await dbOf(database).collection('run_events').deleteMany({})
  for (const after of [0, 1, 3, events.length]) {
    await expect(followAll(engine, runId, { after })).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  }
})

it('a sweep takes the events of a deleted session along and counts them once', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const events = await followAll(engine, await startRun(engine))
  await using _sweeper = openEngine(database, { agents, options: sweeping })
  await vi.waitFor(
    async () => expect(await receiptsOf(database)).toMatchObject([{ action: 'events_expired' }]),
    waitOptions,
  )
  expect(await engine.sessions.delete(ada, { sessionId: 'session-1' })).toMatchObject({ isPurged: true })
  expect(await receiptsOf(database)).toMatchObject([
    { action: 'events_expired', counts: { runs: 1, events: events.length } },
    { action: 'session_deleted', counts: { runs: 1, messages: 2, events: events.length } },
  ])
  expect(await collectionsWith(database, canary)).toEqual([])
})
