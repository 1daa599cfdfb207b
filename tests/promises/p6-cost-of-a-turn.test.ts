/** P6: what a turn asks of the database is the same in a short session and in a long one. Counted, not timed. */
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Agent, EngineOptionsInput } from '@verbatim/core/server'
import { BSON, MongoClient } from 'mongodb'
import type { CommandStartedEvent, CommandSucceededEvent, Db } from 'mongodb'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, inject, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { echoAgent, start } from '../support/queue.ts'

/** The agent is given this many messages of history, so that the window is full in the short session too. */
const maxHistoryMessages = 6

interface Cost {
  readonly commands: Record<string, number>
  /** Those that are part of a transaction. */
  readonly transactions: Record<string, number>
  readonly replyBytes: number
  readonly docsExamined: number
  readonly keysExamined: number
}

describe('the cost of a turn', () => {
  it('a turn costs the same at 10 and at 10,000 stored messages', async () => {
    const short = await costOfTurn(10)
    const long = await costOfTurn(10_000)
    expect(Object.keys(short.commands)).toContain('commitTransaction')
    expect(short.docsExamined).toBeGreaterThan(0)
    expect(long).toEqual(short)
  }, 120_000)

  it('a page of history and a list of sessions cost the same at any length', async () => {
    const short = await costOfReading(10)
    const long = await costOfReading(10_000)
    expect(short.docsExamined).toBeGreaterThan(0)
    expect(long).toEqual(short)
  }, 120_000)

  it('a turn examines no more than its window and what it writes', async () => {
    const cost = await costOfTurn(1_000)
    expect(cost.docsExamined).toBeLessThan(maxHistoryMessages + 20)
  }, 120_000)

  it('two turns of which one waited cost four transactions', async () => {
    expect(await transactionsOfTwoTurns(10)).toEqual({
      findAndModify: 5,
      update: 3,
      insert: 8,
      commitTransaction: 4,
    })
    expect(await transactionsOfTwoTurns(10_000)).toEqual(await transactionsOfTwoTurns(10))
  }, 120_000)
})

it('limits and budgets that are off cost no command, and with all of them on a turn has six more', async () => {
  const rates = { startsPerMinute: 100, bytesPerMinute: 100_000, activeRuns: 10, followers: 10 }
  const limits = { principal: { ...rates, sessions: 10 }, tenant: rates, process: rates }
  const budget = { tokensPerDay: 1_000_000, usdPerDay: 100 }
  const off = await costOfTurn(10)
  const on = await costOfTurn(10, { limits, budgets: { principal: budget, tenant: budget } })
  const names = Object.keys({ ...off.commands, ...on.commands })
  const more = names.map((name) => [name, (on.commands[name] ?? 0) - (off.commands[name] ?? 0)] as const)
  expect(Object.fromEntries(more.filter(([, count]) => count !== 0))).toEqual({ find: 2, update: 2, aggregate: 2 })
  const rare = { limits: { process: { startsPerMinute: 100 } }, budgets: {} }
  expect(await costOfTurn(10, rare)).toEqual(off)
}, 120_000)

/** What two turns do in transactions, when the second prompt comes while the first is answered. */
async function transactionsOfTwoTurns(storedMessages: number): Promise<Record<string, number>> {
  const gate = createGate()
  gate.open()
  await using metered = await openMetered(storedMessages, { agent: { ...echoAgent({ gate }), maxHistoryMessages } })
  gate.shut()
  const { transactions } = await metered.measure(async (engine) => {
    await startRun(engine, { message: 'And now?' })
    await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), waitOptions)
    const second = await start(engine, 'And then?', { whenBusy: 'queue' })
    gate.open()
    expect(answerFrom(await followAll(engine, second.id)).status).toBe('completed')
    await expectIdle(engine)
  })
  return transactions
}

async function costOfTurn(storedMessages: number, options: EngineOptionsInput = {}): Promise<Cost> {
  await using metered = await openMetered(storedMessages, { options })
  return await metered.measure(async (engine) => {
    const runId = await startRun(engine, { message: 'And now?' })
    expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
    await expectIdle(engine)
  })
}

async function costOfReading(storedMessages: number): Promise<Cost> {
  await using metered = await openMetered(storedMessages)
  return await metered.measure(async (engine) => {
    const newest = await engine.messages.list(ada, 'session-1', { order: 'newest', limit: 5 })
    await engine.messages.list(ada, 'session-1', { order: 'newest', limit: 3, cursor: newest.nextCursor })
    await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 5 })
    await engine.sessions.list(ada, { limit: 10 })
    await engine.sessions.get(ada, 'session-1')
  })
}

async function openMetered(
  storedMessages: number,
  { agent = quickAgent(), options: given = {} }: { agent?: Agent; options?: EngineOptionsInput } = {},
) {
  const database = await openDatabase()
  const appName = `p6-${crypto.randomUUID()}`
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true, appName })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  // No heartbeat and no look for lost or cancelled runs falls into the measurement.
  const leases = { heartbeatMs: 200_000, selfFenceMs: 400_000, leaseMs: 600_000 }
  const options = { ...leases, recoveryMs: 600_000, cancelPollMs: 600_000, sweepMs: 600_000 }
  const engine = createEngine({ ...storage, agents: [agent] }, { ...options, ...given, archiveDelayMs: 600_000 })
  const db = database.client.db(database.databaseName)
  // A turn of the same size makes the session, opens the connections and fills the window.
  await followAll(engine, await startRun(engine, { message: 'And now?' }))
  await fillSession(db, storedMessages)
  return {
    async measure(act: (measured: typeof engine) => Promise<void>): Promise<Cost> {
      const stop = countCommands(client)
      await db.command({ profile: 2 })
      await act(engine)
      await db.command({ profile: 0 })
      return { ...stop(), ...(await examined(db, appName)) }
    },
    async [Symbol.asyncDispose]() {
      await engine.close()
      await client.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

function quickAgent(): Agent {
  return pacedAgent(answerOf(['The ', 'answer']), { maxHistoryMessages, pause: () => Promise.resolve() })
}

/** Copies of the stored messages, as many as are missing, written directly. */
async function fillSession(db: Db, storedMessages: number): Promise<void> {
  const messages = db.collection('messages')
  const [user, assistant] = await messages.find().sort({ seq: 1 }).toArray()
  const copies = []
  for (let seq = 3; seq <= storedMessages; seq++) {
    const id = crypto.randomUUID()
    copies.push({ ...(seq % 2 === 1 ? user : assistant), _id: `copy-${id}`.slice(0, 32) as never, id, seq })
  }
  await messages.insertMany(copies)
  await db.collection('sessions').updateOne({ id: 'session-1' }, { $set: { head: new BSON.Int32(storedMessages) } })
  expect(await messages.countDocuments()).toBe(storedMessages)
}

function countCommands(client: MongoClient): () => Pick<Cost, 'commands' | 'transactions' | 'replyBytes'> {
  const commands: Record<string, number> = {}
  const transactions: Record<string, number> = {}
  let replyBytes = 0
  const onStarted = ({ commandName, command }: CommandStartedEvent) => {
    commands[commandName] = (commands[commandName] ?? 0) + 1
    if (command['autocommit'] === false) transactions[commandName] = (transactions[commandName] ?? 0) + 1
  }
  const onSucceeded = ({ reply }: CommandSucceededEvent) => {
    replyBytes += BSON.calculateObjectSize(reply as BSON.Document)
  }
  client.on('commandStarted', onStarted)
  client.on('commandSucceeded', onSucceeded)
  return () => {
    client.off('commandStarted', onStarted)
    client.off('commandSucceeded', onSucceeded)
    return { commands, transactions, replyBytes }
  }
}

/** What the server itself has counted for this client's operations. */
async function examined(db: Db, appName: string): Promise<{ docsExamined: number; keysExamined: number }> {
  const profiled = await db.collection('system.profile').find({ appName }).toArray()
  expect(profiled.length).toBeGreaterThan(0)
  const sum = (field: string) => profiled.reduce((total, one) => total + Number(one[field] ?? 0), 0)
  return { docsExamined: sum('docsExamined'), keysExamined: sum('keysExamined') }
}
