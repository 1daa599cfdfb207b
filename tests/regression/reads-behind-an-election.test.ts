/**
 * Right after an election majority reads see less than what was confirmed before it. Found by the torture (three nodes, a step-down):
 * a run did not find its own prompt.
 */
import { ownerOf, toCursor } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { env } from '../support/env.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

/** As much of a stored run that has ended as is read of it. */
function endedRun(id: string) {
  return { id, status: 'completed', createdAt: new Date(), endedAt: new Date() }
}

describe('a read that must not miss anything', () => {
  it('a linearizable read waits until a majority has what the primary has and then sees it', async () => {
    await using mongo = await startReplicaSet({ env, electionTimeoutMillis: 8_000 })
    await using client = createMongoClient(mongo.uri)
    const storage = createMongoStorage({ client, databaseName: 'after-election', clock: systemClock })
    const db = client.db('after-election')
    await storage.migrate()
    const { eventLog, runRepository, sessionRepository } = storage
    const runId = crypto.randomUUID()
    const key = eventLog.keyOf(owner, runId)
    const entry = { key, owner, firstSeq: 1, batchId: 'b', events: [{ type: 'message_stop' as const }] }
    const range = { after: 0, maxBatches: 8 }
    // Written and taken back: below it is put there by the driver, which has no limit of ours.
    await sessionRepository.createSession(owner, { sessionId: 's', title: null })
    const [session = {}] = await db.collection('sessions').find().toArray()
    await db.collection('sessions').deleteMany()
    const primary = await mongo.primaryIndex()
    const secondaries = [1, 2].map((step) => (primary + step) % 3)

    // As after an election: the primary has it all, and does not know that a majority has it, too.
    await Promise.all(secondaries.map((index) => mongo.kill(index, 'SIGSTOP')))
    const writing = [
      eventLog.append([entry], { signal: AbortSignal.timeout(20_000) }),
      db.collection('sessions').insertOne(session),
      db.collection<{ _id: string }>('runs').insertOne({ _id: key, ...endedRun(runId) }),
    ]
    const local = { readConcern: { level: 'local' } } as const
    for (const name of ['run_events', 'sessions', 'runs']) {
      await vi.waitFor(
        async () => expect(await db.collection(name).find({}, local).toArray()).toHaveLength(1),
        waitOptions,
      )
    }
    expect(await eventLog.read(key, range)).toEqual([])
    const read = eventLog.read(key, { ...range, isLinearizable: true })
    const found = sessionRepository.getSession(owner, 's')
    const cancel = runRepository.requestCancel(owner, runId)
    await Promise.all(secondaries.map((index) => mongo.kill(index, 'SIGCONT')))
    expect(await read).toEqual([{ firstSeq: 1, events: entry.events }])
    expect(await found).toMatchObject({ id: 's' })
    expect(await cancel).toMatchObject({ id: runId, status: 'completed' })
    await Promise.all(writing)
  }, 60_000)
})

const agents = [pacedAgent(answerOf(['One ', 'two ', 'three']))]

/** A process that sees nothing of the log but what it reads after the barrier. */
function openReader(database: TestDatabase) {
  const { eventLog } = database.storage
  return openEngine(database, {
    agents,
    options: { startWaitMs: 50 },
    wrap: () => ({
      eventLog: {
        ...eventLog,
        read: async (key, range) => (range.isLinearizable === true ? await eventLog.read(key, range) : []),
      },
    }),
  })
}

describe('after an election', () => {
  it('after an election a run receives its prompt', async () => {
    await using database = await openDatabase()
    const { sessionRepository } = database.storage
    const asked: unknown[] = []
    const agent = pacedAgent(answerOf(['Here']))
    await using engine = openEngine(database, {
      agents: [
        { ...agent, stream: (request, signal) => (asked.push(request.messages), agent.stream(request, signal)) },
      ],
      wrap: () => ({
        sessionRepository: {
          ...sessionRepository,
          async listMessages(who, sessionId, request) {
            const page = await sessionRepository.listMessages(who, sessionId, request)
            return request.isLinearizable === true ? page : { ...page, items: page.items.slice(1) }
          },
        },
      }),
    })
    const runId = await startRun(engine, { message: 'Where are you?' })
    expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
    expect(asked).toMatchObject([[{ role: 'user', content: [{ text: 'Where are you?' }] }]])
  })

  it('after an election a process that sees less of the log than the reader does not refuse the cursor', async () => {
    await using database = await openDatabase()
    await using writer = openEngine(database, { agents })
    const runId = await startRun(writer)
    const events = await followAll(writer, runId)
    await using reader = openReader(database)
    expect(await followAll(reader, runId, { after: events.length - 1 })).toEqual(events.slice(-1))
    const past = reader.runs.follow(ada, runId, {
      after: toCursor(runId, events.length + 1),
      signal: AbortSignal.timeout(25_000),
    })
    await expect(past.next()).rejects.toMatchObject({ code: 'INVALID_CURSOR' })
  })

  it('after an election a process that does not see the beginning of a run yet does not call the run missing', async () => {
    await using database = await openDatabase()
    await using writer = openEngine(database, { agents })
    const runId = await startRun(writer)
    const events = await followAll(writer, runId)
    await using reader = openReader(database)
    expect(await followAll(reader, runId)).toEqual(events)
  })
})
