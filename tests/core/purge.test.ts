/** The purge of a deleted session, broken off at every write and raced by every process: nothing is left, and it is counted once. */
import type { RunEvent } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { RunKey, Engine, SessionKey } from '@verbatim/core/server'
import type { Gate, TestDatabase } from '@verbatim/core/testing'
import { createGate } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { collectionsWith, dbOf, expectTombstones, receiptsOf } from '../support/deleted.ts'
import { openEngine, openLongLog, openOne } from '../support/engine.ts'
import { ada, followAll, waitOptions, startRun } from '../support/follow.ts'
import { interceptOperations } from '../support/intercepted-client.ts'
import type { Interceptor } from '../support/intercepted-client.ts'
import { PowerCut, powerCutAt } from '../support/power-cut.ts'
import { expectIdle } from '../support/leaks.ts'

const canary = 'the treasure is under the oak'
const signal = new AbortController().signal
const agents = [pacedAgent(answerOf([canary, ' and ', canary]))]
/** No sweeper and no archiver of an engine's own comes between. */
const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const expiresAt = new Date('2100-01-01')

function storageWith(database: TestDatabase, intercept: Interceptor) {
  const client = interceptOperations(database.client, intercept)
  return createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
}

/** A session with an answer in the log and one in an archive; answers how many events they have. */
async function fill(engine: Engine, database: TestDatabase, sessionId: string): Promise<number> {
  const runIds = [crypto.randomUUID(), crypto.randomUUID()]
  let events = 0
  for (const runId of runIds) {
    events += (await followAll(engine, await startRun(engine, { runId, sessionId, message: canary }))).length
  }
  await database.storage.eventLog.archive([keyOf(database, runIds[1])], { expiresAt })
  return events
}

function keyOf(database: TestDatabase, runId = ''): RunKey {
  return database.storage.eventLog.keyOf(ada, runId)
}

async function mark(database: TestDatabase, sessionId: string): Promise<SessionKey> {
  const marked = await database.storage.deletionRepository.storeTombstone(ada, sessionId)
  if (marked === undefined) throw new Error('There is no such session')
  return marked.key
}

it('a purge goes on wherever it was broken off, and its receipt counts everything once', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  let steps = 0
  for (let write = 1; ; write++) {
    const outcomes: string[] = []
    for (const when of ['before', 'after'] as const) {
      const sessionId = `session-${write}-${when}`
      const events = await fill(engine, database, sessionId)
      const key = await mark(database, sessionId)
      const { deletionRepository } = storageWith(database, powerCutAt(write, when))
      const outcome = await deletionRepository
        .purgeSession(key, { lateWriteGraceMs: 1, signal })
        .catch((error: unknown) => {
          if (!(error instanceof PowerCut)) throw error
          return 'cut'
        })
      outcomes.push(String(outcome))
      expect(await database.storage.deletionRepository.purgeSession(key, { lateWriteGraceMs: 1, signal })).toBe(true)
      expect(await collectionsWith(database, canary)).toEqual([])
      const receipts = (await receiptsOf(database)).filter((receipt) => receipt.target === key)
      expect(receipts.map((receipt) => receipt.counts)).toEqual([{ runs: 2, messages: 4, events }])
    }
    if (outcomes.every((outcome) => outcome === 'true')) break
    steps = write
  }
  // Counts, four a run, messages, states of agents, receipt, tombstone.
  expect(steps).toBe(13)
}, 120_000)

it('a purge by three processes at once happens once', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const events = await fill(engine, database, 'session-1')
  const key = await mark(database, 'session-1')
  const { deletionRepository } = database.storage
  const purging = Array.from({ length: 3 }, () => deletionRepository.purgeSession(key, { lateWriteGraceMs: 1, signal }))
  expect(await Promise.all(purging)).toEqual([true, true, true])
  expect(await receiptsOf(database)).toMatchObject([{ counts: { runs: 2, messages: 4, events } }])
  await expectTombstones(database, { runs: 2 })
})

it('a purge that has counted does not count again, even for a process that began to count before', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const events = await fill(engine, database, 'session-1')
  const key = await mark(database, 'session-1')
  const held = (gate: Gate, at: string) =>
    storageWith(database, async ({ collection, method }, proceed) => {
      if (`${collection}.${method}` === at) await gate.pass()
      return await proceed()
    }).deletionRepository.purgeSession(key, { lateWriteGraceMs: 1, signal })
  const [gate, lateGate] = [createGate(), createGate()]
  const late = held(lateGate, 'messages.countDocuments')
  await vi.waitFor(() => expect(lateGate.arrivals).toBe(1), waitOptions)
  const first = held(gate, 'audit.insertOne')
  await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
  // All is removed, and the receipt is not stored yet.
  lateGate.open()
  expect(await late).toBe(true)
  gate.open()
  expect(await first).toBe(true)
  expect(await receiptsOf(database)).toMatchObject([{ counts: { runs: 2, messages: 4, events } }])
  await expectTombstones(database, { runs: 2 })
})

it('a purge removes nothing while a run goes on', async () => {
  const agent = manualAgent()
  await using test = await openOne({ agents: [agent], options: still })
  const { engine, database } = test
  const runId = await startRun(engine, { message: canary })
  agent.say('Well')
  await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
  const key = await mark(database, 'session-1')
  expect(await database.storage.deletionRepository.purgeSession(key, { lateWriteGraceMs: 1, signal })).toBe(false)
  agent.end()
  expect((await followAll(engine, runId)).slice(0, 2)).toMatchObject([
    { type: 'run_started' },
    { type: 'message_start' },
  ])
  await expectIdle(engine)
  expect(await collectionsWith(database, canary)).toEqual(['messages'])
  expect(await database.storage.deletionRepository.purgeSession(key, { lateWriteGraceMs: 1, signal })).toBe(true)
  await expectTombstones(database, { runs: 1 })
})

it('a purge shuts the log to a zombie, and what the zombie repeats is swept and never shown', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const runId = await startRun(engine, { message: canary })
  const events = await followAll(engine, runId)
  const key = keyOf(database, runId)
  const entries = await dbOf(database)
    .collection<{ _id: { n: number }; b: string; e: RunEvent[] }>('run_events')
    .find()
    .sort({ _id: 1 })
    .toArray()
  await engine.sessions.delete(ada, { sessionId: 'session-1' })
  const next = {
    key,
    owner: ada,
    firstSeq: events.length,
    batchId: crypto.randomUUID(),
    events: [{ type: 'message_stop' as const }],
  }
  expect(await database.storage.eventLog.append([next], { signal })).toEqual(['fenced'])
  await expectTombstones(database, { runs: 1 })
  // A write that had landed long ago, whose answer the zombie never got.
  const old = entries.at(-2)
  if (old === undefined) throw new Error('The log has more than one entry')
  const again = { key, owner: ada, firstSeq: old._id.n, batchId: old.b, events: old.e }
  await database.storage.eventLog.append([again], { signal })
  for (const after of [0, 1, old._id.n - 1, old._id.n, events.length]) {
    await expect(followAll(engine, runId, { after })).rejects.toMatchObject({ code: 'SESSION_DELETED' })
  }
  await dbOf(database)
    .collection('runs')
    .updateMany({}, { $set: { sweepAt: new Date(0) } })
  await using _sweeper = openEngine(database, { agents })
  const runs = dbOf(database).collection('runs')
  await vi.waitFor(async () => expect(await runs.countDocuments({ sweepAt: { $exists: true } })).toBe(0), waitOptions)
  await expectTombstones(database, { runs: 1 })
  expect(await receiptsOf(database)).toHaveLength(1)
})

it('a purge leaves no archive that was made meanwhile', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const runId = await startRun(engine, { message: canary })
  await followAll(engine, runId)
  const gate = createGate()
  const archiver = storageWith(database, async ({ collection, method }, proceed) => {
    const answer = await proceed()
    if (collection === 'run_events' && method === 'merge') await gate.pass()
    return answer
  })
  const archiving = archiver.eventLog.archive([keyOf(database, runId)], { expiresAt })
  await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
  const archives = dbOf(database).collection('run_archives')
  const parts = await archives.find().toArray()
  await engine.sessions.delete(ada, { sessionId: 'session-1' })
  // As when the database has read the log before the purge, and stores the part after it.
  await archives.insertMany(parts)
  gate.open()
  await archiving
  await expectTombstones(database, { runs: 1 })
})

it('a purge ends a follower in the middle of the log', async () => {
  await using test = await openLongLog(canary, still)
  const { engine, database } = test
  const runId = await startRun(engine, { message: canary })
  await followAll(engine, runId)
  let batches = 0
  const slow = followAll(engine, runId, {
    async onBatch() {
      if (++batches === 1) await engine.sessions.delete(ada, { sessionId: 'session-1' })
    },
  })
  await expect(slow).rejects.toMatchObject({ code: 'SESSION_DELETED' })
  expect(batches).toBeLessThanOrEqual(64)
  await expectTombstones(database, { runs: 1 })
})

it('a purge ends a follower that waits for a run of another process', async () => {
  await using test = await openOne({ agents, options: still })
  const { engine, database } = test
  const runId = await startRun(engine, { message: canary })
  const events = await followAll(engine, runId)
  const end = await takeLastEntry(database)
  // To this follower the run goes on: its end has not come to the log yet.
  await using other = openEngine(database, { agents, options: still })
  const outcome = followAll(other, runId, { after: events.length - 1 }).then(
    (rest) => rest.at(-1)?.type,
    (error: { code?: string }) => error.code,
  )
  await vi.waitFor(() => expect(other.stats().followers).toBe(1), waitOptions)
  await end.putBack()
  await engine.sessions.delete(ada, { sessionId: 'session-1' })
  expect(await outcome).toMatch(/run_completed|SESSION_DELETED/)
})

async function takeLastEntry(database: TestDatabase) {
  const log = dbOf(database).collection('run_events')
  const [last] = await log.find().sort({ _id: -1 }).limit(1).toArray()
  if (last === undefined) throw new Error('The log is empty')
  await log.deleteOne({ _id: last._id })
  return { putBack: async () => await log.insertOne(last) }
}
