/** Recovery when a run cannot be taken over: the others must not wait for it, and a process that leaves gives back what it has claimed. */
import type { Engine, EventLog, Logger, RunRepository } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { createGate } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { textOf } from '@verbatim/core'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { expireLeases, openDatabase, openEngine } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'
import { echoAgent } from '../support/queue.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

/** Runs of a process that is lost in the middle of their answers, the first of them being the one whose lease expired first. */
async function loseRuns(database: TestDatabase, count: number): Promise<string[]> {
  const gate = createGate()
  await using lost = openCrashableEngine(database, { agents: [echoAgent({ id: 'hand', gate })] })
  const runIds: string[] = []
  for (let at = 1; at <= count; at++) {
    runIds.push(await startRun(lost.engine, { sessionId: `session-${at}` }))
    await committed(lost.engine, 3 * at)
  }
  await lost.crash()
  const runs = database.client.db(database.databaseName).collection('runs')
  for (const [at, id] of runIds.entries()) await runs.updateOne({ id }, { $set: { 'lease.renewedAt': new Date(at) } })
  return runIds
}

async function committed(engine: Engine, events: number): Promise<void> {
  await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThanOrEqual(events), waitOptions)
}

/** The real repository, but the end of one run is never answered. */
function withoutEndOf(database: TestDatabase, runId: string | undefined) {
  const { runRepository } = database.storage
  const asked: string[] = []
  const poisoned: RunRepository = {
    ...runRepository,
    async finishRun(owned, ...rest) {
      asked.push(owned.run.id)
      if (owned.run.id === runId) return await new Promise<never>(() => {})
      return await runRepository.finishRun(owned, ...rest)
    },
  }
  return { asked, runRepository: poisoned }
}

it('recovery goes on to the next lost run when one does not reach its end', async () => {
  await using database = await openDatabase()
  const [poison, ...others] = await loseRuns(database, 3)
  const { asked, runRepository } = withoutEndOf(database, poison)
  await using taker = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository }) })
  for (const runId of others) {
    expect((await followAll(taker, runId)).at(-1)).toMatchObject({ type: 'run_interrupted' })
  }
  expect(asked).toEqual([poison, ...others])
  expect((await taker.runs.get(ada, poison ?? '')).status).toBe('running')
})

it('recovery goes on at once when the end of a run fails and logs only the kind of failure', async () => {
  await using database = await openDatabase()
  const [poison = '', other = ''] = await loseRuns(database, 2)
  const { runRepository } = database.storage
  const asked: string[] = []
  const picky: RunRepository = {
    ...runRepository,
    async finishRun(owned, ...rest) {
      asked.push(owned.run.id)
      if (owned.run.id === poison) throw new Error('secret of the driver')
      return await runRepository.finishRun(owned, ...rest)
    },
  }
  const warn = vi.fn<Logger['warn']>()
  const logger: Logger = { info: warn, warn, error: warn }
  await using taker = openEngine(database, {
    agents: [manualAgent()],
    // One look only: what is ended is ended by the look that met the failure.
    options: { recoveryMs: 600_000 },
    wrap: () => ({ runRepository: picky, logger }),
  })
  expect((await followAll(taker, other)).at(-1)).toMatchObject({ type: 'run_interrupted' })
  // Tried as it is, and without its content.
  expect(asked).toEqual([poison, poison, other])
  expect(warn).toHaveBeenCalledWith(expect.objectContaining({ runId: poison, reason: 'Error' }), expect.any(String))
  expect(JSON.stringify(warn.mock.calls)).not.toContain('secret')
})

it('recovery releases what it was about to take over when its process drains', async () => {
  await using database = await openDatabase()
  const [runId = ''] = await loseRuns(database, 1)
  const { asked, runRepository } = withoutEndOf(database, runId)
  const leaving = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository }) })
  await vi.waitFor(() => expect(asked).toEqual([runId]), waitOptions)
  await leaving.drain({ graceMs: 1 })
  await leaving.close()
  const [run] = await database.client.db(database.databaseName).collection('runs').find().toArray()
  expect(run).toMatchObject({ status: 'running', lease: { ms: 0 } })
  await using staying = openEngine(database, { agents: [manualAgent()] })
  expect((await followAll(staying, runId)).at(-1)).toMatchObject({ type: 'run_interrupted' })
})

it('recovery releases a run whose claim is answered after its process began to drain', async () => {
  await using database = await openDatabase()
  const [runId = ''] = await loseRuns(database, 1)
  const { runRepository } = database.storage
  const claimed = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const late: RunRepository = {
    ...runRepository,
    async claimExpiredLease(lease) {
      const run = await runRepository.claimExpiredLease(lease)
      claimed.resolve()
      await answer.promise
      return run
    },
  }
  const leaving = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository: late }) })
  await claimed.promise
  const closing = leaving.close()
  answer.resolve()
  await closing
  const [run] = await database.client.db(database.databaseName).collection('runs').find().toArray()
  expect(run).toMatchObject({ id: runId, status: 'running', lease: { ms: 0 } })
})

/** Opens a process that starts a run and is lost before it hears anything of its agent. */
async function loseBegun(database: TestDatabase, agent = manualAgent()): Promise<string> {
  await using lost = openCrashableEngine(database, { agents: [agent] })
  const runId = await startRun(lost.engine, { message: 'Question' })
  await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
  await lost.crash()
  return runId
}

const begun = ['run_started', 'run_resumed']

it('recovery drives a run of which only the beginning is stored, and its followers see one answer', async () => {
  await using database = await openDatabase()
  const runId = await loseBegun(database)
  const agent = pacedAgent(answerOf(['Here']), { id: 'hand' })
  await using taker = openEngine(database, { agents: [agent] })
  const events = await followAll(taker, runId)
  expect(events.map(({ type }) => type).slice(0, 3)).toEqual([...begun, 'message_start'])
  expect(events[1]).toMatchObject({ type: 'run_resumed', attempt: 1 })
  expect(answerFrom(events)).toMatchObject({ status: 'completed' })
  const { items } = await taker.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  expect(items.map(({ content }) => textOf(content))).toEqual(['Question', 'Here'])
})

it('recovery shuts out the process before, which finds its seq taken even in an archived log', async () => {
  await using database = await openDatabase()
  const appends = createGate()
  const { eventLog } = database.storage
  const slowLog: EventLog = {
    ...eventLog,
    async append(...args) {
      await appends.pass()
      return await eventLog.append(...args)
    },
  }
  const zombie = manualAgent()
  await using slow = openEngine(database, {
    agents: [zombie],
    options: { recoveryMs: 600_000, heartbeatMs: 100_000, selfFenceMs: 200_000, leaseMs: 300_000 },
    wrap: () => ({ eventLog: slowLog }),
  })
  const runId = await startRun(slow)
  zombie.say('a word of the zombie')
  await vi.waitFor(() => expect(appends.arrivals).toBe(1), waitOptions)
  await expireLeases(database)
  const agent = pacedAgent(answerOf(['Here']), { id: 'hand' })
  await using taker = openEngine(database, { agents: [agent], options: { archiveDelayMs: 1 } })
  const events = await followAll(taker, runId)
  const stored = database.client.db(database.databaseName)
  await vi.waitFor(
    async () => expect(await stored.collection('runs').countDocuments({ toArchive: true })).toBe(0),
    waitOptions,
  )
  appends.open()
  await vi.waitFor(() => expect(slow.stats().runsActive).toBe(0), waitOptions)
  for (let after = 0; after < events.length; after++) {
    expect(await followAll(taker, runId, { after })).toEqual(events.slice(after))
  }
  expect(JSON.stringify(events)).not.toContain('zombie')
})

it('recovery gives up a run that is lost again and again before its first event', async () => {
  await using database = await openDatabase()
  const runId = await loseBegun(database)
  for (let lost = 0; lost < 3; lost++) {
    const agent = manualAgent()
    await using next = openCrashableEngine(database, { agents: [agent], options: { recoveryMs: 50 } })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    await next.crash()
  }
  const agent = manualAgent({ onCrash: 'continue' })
  await using taker = openEngine(database, { agents: [agent], options: { recoveryMs: 50 } })
  const events = await followAll(taker, runId)
  expect(events.map(({ type }) => type)).toEqual([...begun, 'run_resumed', 'run_resumed', 'run_interrupted'])
  expect(answerFrom(events)).toMatchObject({ error: { data: { kind: 'resumptions' } }, continuedBy: null })
  expect(agent.requests).toEqual([])
})

it('recovery cancels a lost run that was to be cancelled and does not ask its agent', async () => {
  await using database = await openDatabase()
  const runId = await loseBegun(database)
  await database.storage.runRepository.requestCancel(ada, runId)
  const agent = manualAgent()
  await using taker = openEngine(database, { agents: [agent] })
  const events = await followAll(taker, runId)
  expect(events.map(({ type }) => type)).toEqual(['run_started', 'run_cancelled'])
  expect(agent.requests).toEqual([])
})

it('a process that takes its own run over releases it first', async () => {
  await using database = await openDatabase()
  const agent = manualAgent()
  await using engine = openEngine(database, { agents: [agent], options: { recoveryMs: 50 } })
  const runId = await startRun(engine)
  await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
  await expireLeases(database)
  await vi.waitFor(() => expect(agent.requests).toHaveLength(2), waitOptions)
  agent.say('Here')
  agent.end()
  const events = await followAll(engine, runId)
  expect(events.map(({ type }) => type).slice(0, 3)).toEqual([...begun, 'message_start'])
  expect(answerFrom(events).status).toBe('completed')
  expect(engine.stats()).toMatchObject({ runsActive: 0, runsEnded: { completed: 1 } })
})
