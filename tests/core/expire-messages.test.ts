/** The retention of messages and of the audit: old turns go, and what stays is whole. */
import { textOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { collectionsWith, dbOf, receiptsOf } from '../support/deleted.ts'
import { openEngine, openOne } from '../support/engine.ts'
import { ada, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const dayMs = 24 * 60 * 60 * 1_000
const agents = [pacedAgent(answerOf(['Well']))]
const signal = new AbortController().signal

/** Says how many messages it received, and with which words they begin. */
const readingAgent: Agent = {
  id: 'reading',
  async *stream({ messages }) {
    yield* answerOf([messages.map(({ role, content }) => `${role}:${textOf(content)}`).join('|')])
  },
}

/** As if the messages had been stored `days` ago: those of a session up to `seq`. */
async function age(database: TestDatabase, { sessionId, seq, days }: { sessionId: string; seq: number; days: number }) {
  const createdAt = new Date(new Date().getTime() - days * dayMs)
  await dbOf(database)
    .collection('messages')
    .updateMany({ sessionId, seq: { $lte: seq } }, { $set: { createdAt } })
}

async function ageSession(database: TestDatabase, id: string): Promise<void> {
  await dbOf(database)
    .collection('sessions')
    .updateOne({ id }, { $set: { updatedAt: new Date(0) } })
}

function expire({ storage }: TestDatabase): Promise<void> {
  return storage.deletionRepository.expireMessages({ before: new Date(new Date().getTime() - 30 * dayMs), signal })
}

async function talk(engine: ReturnType<typeof openEngine>, turns: number, sessionId = 'session-1'): Promise<string[]> {
  const runIds: string[] = []
  for (let at = 1; at <= turns; at++) {
    const runId = await startRun(engine, { sessionId, message: `Prompt ${at}` })
    await followAll(engine, runId)
    runIds.push(runId)
  }
  return runIds
}

function seqsOf(messages: readonly Message[]): number[] {
  return messages.map((message) => message.seq)
}

describe('the retention of messages', () => {
  it('old turns go whole: pages, places and the next answer are as before', async () => {
    await using test = await openOne({ agents: [readingAgent], options: still })
    const { engine, database } = test
    await talk(engine, 5)
    // The prompt of the fourth turn is old too, but its answer is not.
    await age(database, { sessionId: 'session-1', seq: 7, days: 31 })
    await expire(database)
    const oldest = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 3 })
    expect(seqsOf(oldest.items)).toEqual([7, 8, 9])
    const rest = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 3, cursor: oldest.nextCursor })
    expect([seqsOf(rest.items), rest.nextCursor]).toEqual([[10], null])
    const newest = await engine.messages.list(ada, 'session-1', { order: 'newest', limit: 10 })
    expect(seqsOf(newest.items)).toEqual([10, 9, 8, 7])
    expect(await engine.sessions.get(ada, 'session-1')).toMatchObject({ messageCount: 10, activeRunId: null })
    await talk(engine, 1)
    const [answer, prompt] = (await engine.messages.list(ada, 'session-1', { order: 'newest', limit: 2 })).items
    expect([answer?.seq, prompt?.seq]).toEqual([12, 11])
    expect(textOf(answer?.content ?? [])).toMatch(/^user:Prompt 4\|assistant:.*\|user:Prompt 1$/)
    expect(await receiptsOf(database)).toMatchObject([{ action: 'messages_expired', counts: { messages: 6 } }])
  })

  it('the run of an expired answer stays, and its message is not found', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const [first = ''] = await talk(engine, 2)
    await age(database, { sessionId: 'session-1', seq: 2, days: 31 })
    await expire(database)
    const run = await engine.runs.get(ada, first)
    expect(run.status).toBe('completed')
    await expect(engine.messages.get(ada, 'session-1', run.messageId)).rejects.toMatchObject({
      code: 'MESSAGE_NOT_FOUND',
    })
    await expect(startRun(engine, { runId: first, message: 'Prompt 1' })).resolves.toBe(first)
  })

  it('a session in which nothing has happened for so long is deleted, and one that is renamed stays', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    for (const sessionId of ['idle', 'renamed']) await talk(engine, 2, sessionId)
    for (const sessionId of ['idle', 'renamed']) {
      await age(database, { sessionId, seq: 4, days: 31 })
      await ageSession(database, sessionId)
    }
    await engine.sessions.update(ada, { sessionId: 'renamed', title: 'Still mine' })
    await expire(database)
    await expect(engine.sessions.get(ada, 'idle')).rejects.toMatchObject({ code: 'SESSION_DELETED' })
    // Of a session that goes on the newest turn stays.
    expect(seqsOf((await engine.messages.list(ada, 'renamed', { order: 'oldest', limit: 9 })).items)).toEqual([3, 4])
    const [key = ''] = await database.storage.deletionRepository.findSessionsToPurge()
    await database.storage.deletionRepository.purgeSession(key as never, { lateWriteGraceMs: 1, signal })
    const deleted = (await receiptsOf(database)).filter((receipt) => receipt.action === 'session_deleted')
    expect(deleted).toMatchObject([{ actor: null, counts: { runs: 2, messages: 4 } }])
  })

  it('a session with an active run keeps the turn of that run, however old it is', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: still })
    const { engine, database } = test
    const runId = await startRun(engine, { message: 'Slowly' })
    agent.say('Still')
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await age(database, { sessionId: 'session-1', seq: 1, days: 31 })
    await ageSession(database, 'session-1')
    await expire(database)
    agent.end()
    await followAll(engine, runId)
    await expectIdle(engine)
    expect(seqsOf((await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 9 })).items)).toEqual([1, 2])
  })

  it('two sweepers at once count each message once, and other sessions keep theirs', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    for (const sessionId of ['one', 'two', 'young']) await talk(engine, 3, sessionId)
    await followAll(engine, await startRun(engine, { owner: eve, sessionId: 'eves' }), { owner: eve })
    for (const sessionId of ['one', 'two']) await age(database, { sessionId, seq: 4, days: 31 })
    await Promise.all([expire(database), expire(database), expire(database)])
    const receipts = await receiptsOf(database)
    expect(receipts.reduce((sum, { counts }) => sum + (counts['messages'] ?? 0), 0)).toBe(8)
    expect(await dbOf(database).collection('messages').countDocuments()).toBe(2 * 2 + 6 + 2)
  })

  it('the sweeper enforces the options by itself, and events do not outlive their messages', async () => {
    await using test = await openOne({ agents, options: still })
    const { database } = test
    await talk(test.engine, 3)
    await expectIdle(test.engine)
    const options = { archiveDelayMs: 1, messageRetentionMs: 1, sweepMs: 20 }
    await using _sweeper = openEngine(database, { agents, options })
    await vi.waitFor(async () => {
      const left = await collectionsWith(database, 'Well')
      expect([left, await dbOf(database).collection('messages').countDocuments()]).toEqual([[], 0])
    }, waitOptions)
    const fieldsLeft = async () => {
      const sessions = await dbOf(database).collection('sessions').find().toArray()
      return sessions.map((session) => Object.keys(session).toSorted())
    }
    await expect.poll(fieldsLeft).toEqual([['_id', 'deletedAt', 'v']]) // the purge ends after the last message has gone
  })

  it('without the option no message goes', async () => {
    await using test = await openOne({ agents, options: { ...still, sweepMs: 20 } })
    await talk(test.engine, 1)
    await age(test.database, { sessionId: 'session-1', seq: 2, days: 36_500 })
    await ageSession(test.database, 'session-1')
    await new Promise((resolve) => setTimeout(resolve, 200)) // ten sweeps
    expect(await dbOf(test.database).collection('messages').countDocuments()).toBe(2)
  })
})

describe('the retention of the audit', () => {
  it('old rows go, the oldest first, and young ones stay', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    for (const sessionId of ['old', 'young']) {
      await engine.sessions.create(ada, { sessionId })
      await engine.sessions.delete(ada, { sessionId })
    }
    const [first] = (await engine.audit.list({ limit: 10 })).items.toReversed()
    await dbOf(database)
      .collection<{ _id: string }>('audit')
      .updateOne({ _id: first?.id ?? '' }, { $set: { at: new Date(0) } })
    await using _sweeper = openEngine(database, { agents, options: { ...still, sweepMs: 20 } })
    await vi.waitFor(async () => expect((await engine.audit.list({ limit: 10 })).items).toHaveLength(1), waitOptions)
    expect((await engine.audit.list({ limit: 10 })).items[0]?.id).not.toBe(first?.id)
  })
})
