/** P1: no follower gets an event that is not majority-committed. */
import { lastSeqOf, textOf } from '@verbatim/core'
import type { EventBatch, RunEvent } from '@verbatim/core'
import { systemClock } from '@verbatim/core/server'
import type { EventLog } from '@verbatim/core/server'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { MongoClient } from 'mongodb'
import { createGate } from '@verbatim/core/testing'
import type { Gate } from '@verbatim/core/testing'
import { describe, expect, inject, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent, turn } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'

/** A log whose appends wait at `gate` before they reach MongoDB. */
function holdAppends(log: EventLog, gate: Gate): EventLog {
  return {
    ...log,
    async append(entries, options) {
      await gate.pass(options.signal)
      return await log.append(entries, options)
    },
  }
}

/** Counts looks into the log, so that a test knows that a follower has looked and found nothing. */
function countReads(log: EventLog) {
  const counter = { reads: 0 }
  const counting: EventLog = {
    ...log,
    async read(key, options) {
      const batches = await log.read(key, options)
      counter.reads++
      return batches
    },
    async readNext(positions) {
      const grown = await log.readNext(positions)
      counter.reads++
      return grown
    },
  }
  return { counter, log: counting }
}

describe('durable before visible', () => {
  it('an event is shown to no follower while its write hangs, and is shown when the write is done', async () => {
    await using database = await openDatabase()
    const gate = createGate({ isOpen: true })
    const agent = manualAgent()
    const writer = { agents: [agent], wrap: () => ({ eventLog: holdAppends(database.storage.eventLog, gate) }) }
    await using first = openEngine(database, writer)
    const { counter, log } = countReads(database.storage.eventLog)
    await using second = openEngine(database, { agents: [agent], wrap: () => ({ eventLog: log }) })

    const runId = await startRun(first)
    const [here, there]: [RunEvent[], RunEvent[]] = [[], []]
    const bothEnd = Promise.all([
      followAll(first, runId, { onBatch: (batch) => here.push(...batch.events) }),
      followAll(second, runId, { onBatch: (batch) => there.push(...batch.events) }),
    ])
    agent.say('seen')
    await vi.waitFor(() => expect([textSeen(here), textSeen(there)]).toEqual(['seen', 'seen']), waitOptions)

    gate.shut()
    agent.say(' unseen')
    await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
    const readsBefore = counter.reads
    await vi.waitFor(() => expect(counter.reads).toBeGreaterThan(readsBefore + 3), waitOptions)
    for (let turns = 0; turns < 100; turns++) await turn()
    expect([textSeen(here), textSeen(there)]).toEqual(['seen', 'seen'])
    const late = first.runs.follow(ada, runId, { signal: AbortSignal.timeout(20_000) })
    expect(textSeen((await late.next()).value?.events ?? [])).not.toContain('unseen')
    await late.return()

    gate.open()
    await vi.waitFor(
      () => expect([textSeen(here), textSeen(there)]).toEqual(['seen unseen', 'seen unseen']),
      waitOptions,
    )
    agent.end()
    const [fromHere, fromThere] = await bothEnd
    expect(fromThere).toEqual(fromHere)
    expect(fromHere.at(-1)?.type).toBe('run_completed')
  })

  it('a follower never sees what a dying process had not stored', async () => {
    await using database = await openDatabase()
    const gate = createGate({ isOpen: true })
    const agent = manualAgent()
    const first = openEngine(database, {
      agents: [agent],
      wrap: () => ({ eventLog: holdAppends(database.storage.eventLog, gate) }),
    })
    const runId = await startRun(first)
    const seen: RunEvent[] = []
    const following = followAll(first, runId, { onBatch: (batch) => seen.push(...batch.events) })
    agent.say('kept')
    await vi.waitFor(() => expect(textSeen(seen)).toBe('kept'), waitOptions)
    gate.shut()
    agent.say(' lost')
    await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
    await Promise.all([first.close(), expect(following).rejects.toMatchObject({ code: 'UNAVAILABLE' })])
    expect(textSeen(seen)).toBe('kept')
    const key = database.storage.eventLog.keyOf(ada, runId)
    const stored = await database.storage.eventLog.read(key, { after: 0, maxBatches: 100 })
    expect(stored.flatMap((batch) => batch.events)).toEqual(seen)
  })

  it('a batch is shown only after MongoDB has confirmed its insert', async () => {
    await using database = await openDatabase()
    await using watched = await openWatchedClient(database.databaseName)
    const words = Array.from({ length: 60 }, (_, at) => `w${at} `)
    await using engine = openEngine(database, {
      agents: [pacedAgent(answerOf(words))],
      wrap: () => watched.storage,
    })
    const runId = await startRun(engine)
    const events = await followAll(engine, runId, {
      onBatch: (batch: EventBatch) => expect(watched.confirmedSeq()).toBeGreaterThanOrEqual(lastSeqOf(batch)),
    })
    expect(watched.inserts()).toBeGreaterThan(2)
    expect(textOf(answerFrom(events).content)).toBe(words.join(''))
  })

  it('an event is not shown while MongoDB itself holds its write back', async () => {
    await using database = await openDatabase()
    await using watched = await openWatchedClient(database.databaseName)
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent], wrap: () => watched.storage })
    const runId = await startRun(engine)
    const seen: RunEvent[] = []
    const following = followAll(engine, runId, {
      onBatch(batch) {
        expect(watched.confirmedSeq()).toBeGreaterThanOrEqual(lastSeqOf(batch))
        seen.push(...batch.events)
      },
    })
    agent.say('one')
    await vi.waitFor(() => expect(textSeen(seen)).toBe('one'), waitOptions)
    await using failPoint = await holdFailPoint()
    // Only this client's inserts are held, so that no other test is disturbed.
    const block = { failCommands: ['insert'], blockConnection: true, blockTimeMS: 1_500, appName: watched.appName }
    const earlier = await failPoint.set(1, block)
    const before = watched.inserts()
    agent.say(' two')
    await failPoint.entered(earlier + 1)
    while (watched.inserts() === before) {
      expect(textSeen(seen)).toBe('one')
      await turn()
    }
    await vi.waitFor(() => expect(textSeen(seen)).toBe('one two'), waitOptions)
    agent.end()
    expect((await following).at(-1)?.type).toBe('run_completed')
  })
})

function textSeen(events: readonly RunEvent[]): string {
  return textOf(answerFrom(events).content)
}

/** A client of the test's own over the same database that tells which inserts into the log are confirmed. */
async function openWatchedClient(databaseName: string) {
  const appName = `p1-${crypto.randomUUID()}`
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true, appName })
  const inFlight = new Map<number, number>()
  let confirmedSeq = 0
  let inserts = 0
  client.on('commandStarted', ({ commandName, command, requestId }) => {
    if (commandName !== 'insert' || command['insert'] !== 'run_events') return
    const documents = command['documents'] as { _id: { n: number }; e: unknown[] }[]
    inFlight.set(requestId, Math.max(...documents.map((one) => one._id.n + one.e.length - 1)))
  })
  client.on('commandSucceeded', ({ requestId }) => {
    const seq = inFlight.get(requestId)
    if (seq === undefined) return
    confirmedSeq = Math.max(confirmedSeq, seq)
    inserts++
  })
  await client.connect()
  return {
    appName,
    storage: createMongoStorage({ client, databaseName, clock: systemClock }),
    confirmedSeq: () => confirmedSeq,
    inserts: () => inserts,
    async [Symbol.asyncDispose]() {
      await client.close()
    },
  }
}
