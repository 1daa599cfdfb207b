/**
 * The database is given a time to confirm a run's beginning, and may store it later all the same. Such a run had no driver: it stood
 * `running` until its lease lapsed, and its model was never asked.
 */
import { textOf, VerbatimError } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { silentLogger, systemClock } from '@verbatim/core/server'
import type { LogFields, Logger, ServerCore } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { answerOf, handAgent, scriptAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import type { EngineInput } from '../support/engine.ts'
import { ada, answerFrom, followAll, patience, startRun } from '../support/follow.ts'
import { createGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { interceptOperations } from '../support/intercepted-client.ts'

interface HeldInput extends EngineInput {
  readonly gate: Gate
  /** The first of the transactions that waits at the gate, late in its course; each start, queueing and end is one. @default 1 */
  readonly from?: number
  readonly logger?: Logger
}

function openHeld(database: TestDatabase, { gate, from = 1, logger = silentLogger, ...input }: HeldInput): ServerCore {
  let transactions = 0
  const client = interceptOperations(database.client, async ({ collection, method }, proceed) => {
    if (collection === 'run_events' && method === 'insertOne' && ++transactions >= from) await gate.pass()
    return await proceed()
  })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  return openEngine(database, { ...input, wrap: () => ({ ...storage, logger }) })
}

/** An engine whose starts do as `start` says, and whose callers hear nothing of it. */
function openUnheard(database: TestDatabase, start: (proceed: () => Promise<unknown>) => Promise<unknown>) {
  return openEngine(database, {
    agents: [handAgent()],
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

async function stored(core: ServerCore, runId: string): Promise<void> {
  await vi.waitFor(async () => expect(await core.runs.get(ada, runId)).toMatchObject({ id: runId }), patience)
}

async function messagesOf(core: ServerCore): Promise<string[]> {
  const { items } = await core.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  return items.map(({ content }) => textOf(content))
}

async function leaseMsOf(database: TestDatabase, runId: string): Promise<unknown> {
  const run = await database.client.db(database.databaseName).collection('runs').findOne({ id: runId })
  return run?.['lease'].ms
}

it('a start that is stored after its caller was told UNAVAILABLE is answered, once', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agent = scriptAgent(answerOf(['Here']))
  await using core = openHeld(database, { gate, agents: [agent] })
  const runId = crypto.randomUUID()
  await expect(startRun(core, { runId, message: 'Question' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(core, runId)
  await startRun(core, { runId, message: 'Question' })
  expect(answerFrom(await followAll(core, runId)).status).toBe('completed')
  expect(await messagesOf(core)).toEqual(['Question', 'Here'])
  expect(core.stats().runsStarted).toBe(1)
})

it('also when the caller does not come back, or comes back at another process', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agents = [scriptAgent(answerOf(['Here']))]
  await using core = openHeld(database, { gate, agents })
  await using other = openEngine(database, { agents })
  const runId = crypto.randomUUID()
  await expect(startRun(core, { runId, message: 'Question' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  expect(answerFrom(await followAll(other, runId)).status).toBe('completed')
  await startRun(other, { runId, message: 'Question' })
  expect(await messagesOf(other)).toEqual(['Question', 'Here'])
  expect(other.stats().runsStarted).toBe(0)
})

it('a retry that is stored late is answered', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agent = handAgent()
  await using core = openHeld(database, { gate, from: 3, agents: [agent] })
  const runId = await startRun(core, { message: 'Question' })
  agent.fail(new Error('broken'))
  expect(answerFrom(await followAll(core, runId)).status).toBe('failed')
  const retry = { runId, newRunId: crypto.randomUUID() }
  await expect(core.runs.retry(ada, retry)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(core, retry.newRunId)
  await core.runs.retry(ada, retry)
  agent.say('Here')
  agent.end()
  expect(answerFrom(await followAll(core, retry.newRunId)).status).toBe('completed')
  expect(await messagesOf(core)).toEqual(['Question', '', 'Here'])
})

it('a queued run whose beginning is stored late is answered', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  const agent = handAgent()
  const warnings: string[] = []
  const logger = { ...silentLogger, warn: (_: LogFields, message: string) => void warnings.push(message) }
  // Nobody else looks for the run, and its lease outlasts the test.
  const options = { heartbeatMs: 500, selfFenceMs: 3_000, recoveryMs: 600_000 }
  // Start, queueing and end are let through.
  await using core = openHeld(database, { gate, from: 4, agents: [agent], options, logger })
  await startRun(core, { message: 'First' })
  const runId = crypto.randomUUID()
  await core.runs.start(ada, { runId, sessionId: 'session-1', message: 'Second', whenBusy: 'queue' })
  agent.say('One')
  agent.end()
  await vi.waitFor(() => expect(warnings).toEqual(['A queued run could not begin; it is tried again']), patience)
  gate.open()
  agent.say('Two')
  agent.end()
  expect(answerFrom(await followAll(core, runId)).status).toBe('completed')
  expect(await messagesOf(core)).toEqual(['First', 'One', 'Second', 'Two'])
})

it('a process that stops hands over what was stored late', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using core = openHeld(database, { gate, agents: [handAgent()] })
  const runId = crypto.randomUUID()
  await expect(startRun(core, { runId })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  gate.open()
  await stored(core, runId)
  await core.close()
  expect(await leaseMsOf(database, runId)).toBe(0)
})

it('a process that stops hands over what a start still under way stores', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using core = openHeld(database, { gate, agents: [handAgent()] })
  const runId = crypto.randomUUID()
  const starting = startRun(core, { runId })
  await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), patience)
  const closing = core.close()
  gate.open()
  await Promise.all([starting, closing])
  expect(await leaseMsOf(database, runId)).toBe(0)
})

it('a run that another process has taken over meanwhile is left to it', async () => {
  await using database = await openDatabase()
  const runs = database.client.db(database.databaseName).collection('runs')
  await using core = openUnheard(database, async (proceed) => {
    await proceed()
    await runs.updateOne({}, { $inc: { fence: 1 } })
  })
  await expect(startRun(core)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  // It looks once more before it goes.
  await core.close()
  expect(core.stats().runsStarted).toBe(0)
})

it('a process that stops does not wait for what never comes', async () => {
  await using database = await openDatabase()
  await using core = openUnheard(database, () => Promise.resolve())
  await expect(startRun(core)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await core.close()
  expect(core.stats().runsStarted).toBe(0)
})
