/**
 * The database is given a time to confirm a run's beginning, and may store it later all the same. Such a run had no driver: it stood
 * `running` until its lease expired, and its model was never asked.
 */
import { textOf, VerbatimError } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Engine } from '@verbatim/core/server'
import type { Gate, TestDatabase } from '@verbatim/core/testing'
import { createGate } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { expiringLeases, openDatabase, openEngine } from '../support/engine.ts'
import type { EngineInput } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'
import { interceptOperations } from '../support/intercepted-client.ts'

interface HeldInput extends EngineInput {
  readonly gate: Gate
  /** The first beginning or end of a run that waits at the gate, late in its transaction. @default 1 */
  readonly from?: number
}

function openHeld(database: TestDatabase, { gate, from = 1, ...input }: HeldInput): Engine {
  let writes = 0
  const client = interceptOperations(database.client, async ({ collection, method }, proceed) => {
    const isTurn = collection === 'runs' && method === 'bulkWrite'
    if (isTurn && ++writes >= from) await gate.pass()
    return await proceed()
  })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  return openEngine(database, { ...input, wrap: () => storage })
}

/** An engine whose starts do as `start` says, and whose callers hear nothing of it. */
function openUnheard(database: TestDatabase, start: (proceed: () => Promise<unknown>) => Promise<unknown>) {
  return openEngine(database, {
    agents: [manualAgent()],
    // Waited for beyond any test.
    options: { selfFenceMs: 600_000, leaseMs: 700_000, recoveryMs: 800_000 },
    wrap: ({ runRepository }) => ({
      runRepository: {
        ...runRepository,
        async startRun(owner, run) {
          await start(() => runRepository.startRun(owner, run))
          throw new VerbatimError('UNAVAILABLE')
        },
      },
    }),
  })
}

async function stored(engine: Engine, runId: string): Promise<void> {
  await vi.waitFor(async () => expect(await engine.runs.get(ada, runId)).toMatchObject({ id: runId }), waitOptions)
}

async function messagesOf(engine: Engine): Promise<string[]> {
  const { items } = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  return items.map(({ content }) => textOf(content))
}

async function leaseMsOf(database: TestDatabase, runId: string): Promise<unknown> {
  const run = await database.client.db(database.databaseName).collection('runs').findOne({ id: runId })
  return run?.['lease'].ms
}

it('a start that is stored after its caller received UNAVAILABLE is answered once', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agent = pacedAgent(answerOf(['Here']))
  await using engine = openHeld(database, { gate, agents: [agent] })
  const runId = crypto.randomUUID()
  await expect(startRun(engine, { runId, message: 'Question' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(engine, runId)
  await startRun(engine, { runId, message: 'Question' })
  expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
  expect(await messagesOf(engine)).toEqual(['Question', 'Here'])
  expect(engine.stats().runsStarted).toBe(1)
})

it('a late start is answered when its caller never comes back or comes back on another process', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agents = [pacedAgent(answerOf(['Here']))]
  await using engine = openHeld(database, { gate, agents })
  await using other = openEngine(database, { agents })
  const runId = crypto.randomUUID()
  await expect(startRun(engine, { runId, message: 'Question' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  expect(answerFrom(await followAll(other, runId)).status).toBe('completed')
  await startRun(other, { runId, message: 'Question' })
  expect(await messagesOf(other)).toEqual(['Question', 'Here'])
  expect(other.stats().runsStarted).toBe(0)
})

it('a retry that is stored late is answered', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agent = manualAgent()
  await using engine = openHeld(database, { gate, from: 3, agents: [agent] }) // after the beginning and the end of the first run
  const runId = await startRun(engine, { message: 'Question' })
  agent.fail(new Error('broken'))
  expect(answerFrom(await followAll(engine, runId)).status).toBe('failed')
  const retry = { runId, newRunId: crypto.randomUUID() }
  await expect(engine.runs.retry(ada, retry)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(engine, retry.newRunId)
  await engine.runs.retry(ada, retry)
  agent.say('Here')
  agent.end()
  expect(answerFrom(await followAll(engine, retry.newRunId)).status).toBe('completed')
  expect(await messagesOf(engine)).toEqual(['Question', '', 'Here'])
})

it('a queued run whose promotion was not confirmed in time is answered when its lease expires', async () => {
  await using database = await openDatabase()
  const agent = manualAgent()
  let ends = 0
  const wrap: EngineInput['wrap'] = ({ runRepository }) => ({
    runRepository: {
      ...runRepository,
      async finishRun(...args) {
        const outcome = await runRepository.finishRun(...args)
        if (++ends === 1) throw new VerbatimError('UNAVAILABLE')
        return outcome
      },
    },
  })
  await using engine = openEngine(database, { agents: [agent], options: expiringLeases, wrap })
  await startRun(engine, { message: 'First' })
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { runId, sessionId: 'session-1', message: 'Second', whenBusy: 'queue' })
  agent.say('One')
  agent.end()
  await vi.waitFor(() => expect(agent.requests).toHaveLength(2), waitOptions)
  agent.say('Two')
  agent.end()
  const events = await followAll(engine, runId)
  expect(events.slice(0, 3).map(({ type }) => type)).toEqual(['run_queued', 'run_started', 'run_resumed'])
  expect(answerFrom(events).status).toBe('completed')
  expect(await messagesOf(engine)).toEqual(['First', 'One', 'Second', 'Two'])
})

it('a process that stops releases a run that was stored late', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using engine = openHeld(database, { gate, agents: [manualAgent()] })
  const runId = crypto.randomUUID()
  await expect(startRun(engine, { runId })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(engine, runId)
  await engine.close()
  expect(await leaseMsOf(database, runId)).toBe(0)
})

it('a process that stops releases a run that a pending start still stores', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using engine = openHeld(database, { gate, agents: [manualAgent()] })
  const runId = crypto.randomUUID()
  const starting = startRun(engine, { runId })
  await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), waitOptions)
  const closing = engine.close()
  gate.open()
  await Promise.all([starting, closing])
  expect(await leaseMsOf(database, runId)).toBe(0)
})

it('a late run that another process has taken over is left to that process', async () => {
  await using database = await openDatabase()
  const runs = database.client.db(database.databaseName).collection('runs')
  await using engine = openUnheard(database, async (proceed) => {
    await proceed()
    await runs.updateOne({}, { $inc: { fence: 1 } })
  })
  await expect(startRun(engine)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  // It looks once more before it goes.
  await engine.close()
  expect(engine.stats().runsStarted).toBe(0)
})

it('a process that stops does not wait for a start that is never stored', async () => {
  await using database = await openDatabase()
  await using engine = openUnheard(database, () => Promise.resolve())
  await expect(startRun(engine)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await engine.close()
  expect(engine.stats().runsStarted).toBe(0)
})
