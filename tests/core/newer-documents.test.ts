/** A server leaves alone what a newer one has stored: it reads none of it, changes none of it, and says so. */
import { toCursor } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import type { Document } from 'mongodb'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { expireLeases, openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'

const collections = ['sessions', 'messages', 'runs', 'run_events', 'run_archives', 'audit'] as const
const unsupported = { code: 'UNSUPPORTED_VERSION' }
/** No loop looks while the calls are made. */
const slowLoops = { recoveryMs: 600_000, archiveDelayMs: 600_000, sweepMs: 600_000, startWaitMs: 200 }

function dbOf({ client, databaseName }: TestDatabase) {
  return client.db(databaseName)
}

async function contentOf(database: TestDatabase): Promise<Record<string, Document[]>> {
  const lists = collections.map(async (name) => [
    name,
    await dbOf(database).collection(name).find().sort({ _id: 1 }).toArray(),
  ])
  return Object.fromEntries(await Promise.all(lists)) as Record<string, Document[]>
}

/** As a newer server would have stored them: a version, and a field that this server does not know. */
async function raise(database: TestDatabase, ...names: readonly (typeof collections)[number][]): Promise<void> {
  for (const name of names)
    await dbOf(database)
      .collection(name)
      .updateMany({}, { $set: { v: 2, later: 'unknown' } })
}

/** One completed run, one that failed and is the newest, an active one, and one that waits. */
async function openFilled() {
  const database = await openDatabase()
  const agent = manualAgent()
  const engine = openEngine(database, { agents: [agent], options: slowLoops })
  const completed = await startRun(engine)
  agent.say('Yes')
  agent.end()
  await followAll(engine, completed)
  const failed = await startRun(engine, { sessionId: 'failed' })
  agent.fail(new Error('broken'))
  await followAll(engine, failed)
  await engine.close()
  return { database, completed, failed, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() }
}

type Call = (engine: Engine, runs: { completed: string; failed: string }) => Promise<unknown>

const start: Call = (engine) =>
  engine.runs.start(ada, { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Go on' })
const follow = async (engine: Engine, runId: string, after = 0) => {
  for await (const batch of engine.runs.follow(ada, runId, { after: toCursor(runId, after) }))
    expect(batch).toBeUndefined()
}

const callsOf: [(typeof collections)[number], string, Call][] = [
  ['sessions', 'sessions.get', (engine) => engine.sessions.get(ada, 'session-1')],
  ['sessions', 'sessions.list', (engine) => engine.sessions.list(ada, { limit: 5 })],
  ['sessions', 'sessions.create', (engine) => engine.sessions.create(ada, { sessionId: 'session-1' })],
  ['sessions', 'sessions.update', (engine) => engine.sessions.update(ada, { sessionId: 'session-1', title: 'New' })],
  ['sessions', 'sessions.delete', (engine) => engine.sessions.delete(ada, { sessionId: 'session-1' })],
  [
    'sessions',
    'messages.append',
    (engine) => engine.messages.append(ada, { sessionId: 'session-1', role: 'user', content: 'x' }),
  ],
  ['sessions', 'runs.start', start],
  [
    'sessions',
    'runs.retry',
    (engine, { failed }) => engine.runs.retry(ada, { runId: failed, newRunId: crypto.randomUUID() }),
  ],
  ['messages', 'messages.list', (engine) => engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 5 })],
  [
    'messages',
    'runs.retry',
    (engine, { failed }) => engine.runs.retry(ada, { runId: failed, newRunId: crypto.randomUUID() }),
  ],
  ['runs', 'runs.get', (engine, { completed }) => engine.runs.get(ada, completed)],
  ['runs', 'runs.list', (engine) => engine.runs.list(ada, 'session-1', { limit: 5 })],
  ['runs', 'runs.cancel', (engine, { completed }) => engine.runs.cancel(ada, completed)],
  [
    'runs',
    'runs.retry',
    (engine, { failed }) => engine.runs.retry(ada, { runId: failed, newRunId: crypto.randomUUID() }),
  ],
  [
    'runs',
    'runs.start',
    (engine, { completed }) => engine.runs.start(ada, { runId: completed, sessionId: 'session-1', message: 'x' }),
  ],
  ['run_events', 'runs.follow', (engine, { completed }) => follow(engine, completed)],
  ['run_events', 'runs.follow', (engine, { completed }) => follow(engine, completed, 2)],
]

describe('what a newer server has stored', () => {
  it.each(callsOf)(
    '%s of a newer version: %s answers UNSUPPORTED_VERSION and changes nothing',
    async (name, _call, call) => {
      await using filled = await openFilled()
      const { database } = filled
      await raise(database, name)
      const before = await contentOf(database)
      await using engine = openEngine(database, { agents: [manualAgent()], options: slowLoops })
      await expect(call(engine, filled)).rejects.toMatchObject(unsupported)
      await engine.close()
      expect(await contentOf(database)).toEqual(before)
    },
  )

  it('a follow of an archive of a newer version is refused', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, {
      agents: [pacedAgent(answerOf(['Yes']))],
      options: { archiveDelayMs: 1 },
    })
    const runId = await startRun(engine)
    await followAll(engine, runId)
    await vi.waitFor(
      async () => expect(await dbOf(database).collection('run_events').countDocuments()).toBe(1),
      waitOptions,
    )
    await raise(database, 'run_archives')
    await expect(followAll(engine, runId)).rejects.toMatchObject(unsupported)
  })

  it('the loops of a server leave newer runs and sessions alone and do the rest', async () => {
    await using database = await openDatabase()
    const first = manualAgent()
    const lost = openEngine(database, { agents: [first], options: slowLoops })
    for (const sessionId of ['newer', 'known']) {
      const ended = await startRun(lost, { sessionId })
      first.say('Yes')
      first.end()
      await followAll(lost, ended)
    }
    const lostNewer = await startRun(lost, { sessionId: 'newer' })
    const lostKnown = await startRun(lost, { sessionId: 'known' })
    const db = dbOf(database)
    const [runs, sessions] = [db.collection('runs'), db.collection('sessions')]
    const s: unknown = (await runs.findOne({ id: lostNewer }))?.['s']
    await lost.close()
    await expireLeases(database)
    // All that any loop looks for.
    await runs.updateMany({ s, status: 'completed' }, { $set: { sweepAt: new Date(0) } })
    const deletedAt = new Date(0)
    await sessions.insertOne({ _id: 'newer' as never, deletedAt, purge: { tenantId: 'default', actor: 'ada' }, v: 2 })
    await runs.updateMany({ s }, { $set: { v: 2, later: 'unknown' } })
    const before = await runs.find({ s }).sort({ _id: 1 }).toArray()

    const options = { ...shortLeases, archiveDelayMs: 1, sweepMs: 20, eventRetentionMs: 1 }
    await using engine = openEngine(database, { agents: [pacedAgent(answerOf(['Again']), { id: 'hand' })], options })
    expect(answerFrom(await followAll(engine, lostKnown)).status).toBe('completed')
    await vi.waitFor(async () => {
      expect(
        await runs.countDocuments({ s: { $ne: s }, $or: [{ toArchive: true }, { sweepAt: { $exists: true } }] }),
      ).toBe(0)
    }, waitOptions)
    expect(await runs.find({ s }).sort({ _id: 1 }).toArray()).toEqual(before)
    expect(await sessions.countDocuments({ _id: 'newer' as never, purge: { $exists: true } })).toBe(1)
  })

  it('the end of a run in a session that a newer server has changed is not stored', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent], options: slowLoops })
    await startRun(engine)
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.say('Yes')
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBe(3), waitOptions)
    await raise(database, 'sessions')
    agent.end()
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
    const { runs, messages, sessions } = await contentOf(database)
    expect(runs).toMatchObject([{ status: 'running', endedAt: null }])
    expect(messages).toHaveLength(1)
    expect(sessions).toMatchObject([{ v: 2, later: 'unknown', head: 1 }])
  })

  it('the end of a run does not skip a queued run of a newer version', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent], options: slowLoops })
    await startRun(engine)
    const waiting = crypto.randomUUID()
    await engine.runs.start(ada, { runId: waiting, sessionId: 'session-1', message: 'Next', whenBusy: 'queue' })
    await dbOf(database)
      .collection('runs')
      .updateOne({ id: waiting }, { $set: { v: 2 } })
    agent.end()
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
    expect((await contentOf(database))['sessions']).toMatchObject([{ queue: [waiting] }])
  })
})

describe('a database that a newer server has migrated', () => {
  it('an older server says that it is not ready, and makes and drops nothing', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [manualAgent()], options: slowLoops })
    await engine.ready()
    const db = dbOf(database)
    await db.collection('schema').updateOne({}, { $set: { version: 2 } })
    await db.collection('messages').dropIndex('session_order')
    await expect(engine.ready()).rejects.toMatchObject({
      ...unsupported,
      message: expect.stringContaining('version 2'),
    })
    await expect(database.storage.migrate()).rejects.toMatchObject(unsupported)
    expect((await db.collection('messages').indexes()).map((index) => index.name)).not.toContain('session_order')
  })
})
