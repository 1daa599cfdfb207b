/** Limits of a principal, a tenant and a process: decided before anything is stored or an agent is asked. */
import { isVerbatimError, maxPromptBytes, ownerOf } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, openOne } from '../support/engine.ts'
import { ada, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { openFleet, openProcess } from '../support/processes.ts'
import { echoAgent } from '../support/queue.ts'

const quick = () => pacedAgent(answerOf(['Yes']))
const elsewhere = ownerOf({ userId: 'ada', tenantId: 'elsewhere', scopes: [] })

const limited = (kind: string) => ({
  code: 'RATE_LIMITED',
  retryable: true,
  data: { kind, retryAfterMs: expect.any(Number) as number },
})

function refusalsOf(settled: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
}

async function answer(engine: Engine, owner: Owner, sessionId: string = crypto.randomUUID()): Promise<void> {
  await followAll(engine, await startRun(engine, { owner, sessionId }), { owner })
}

describe('starts a minute', () => {
  it.each([
    { scope: 'principal', before: [ada, ada], free: eve },
    { scope: 'tenant', before: [ada, eve], free: elsewhere },
  ] as const)('a $scope that has used them up is refused, and another is not', async ({ scope, before, free }) => {
    const options = { limits: { [scope]: { startsPerMinute: 2 } } }
    await using test = await openOne({ agents: [quick()], options })
    for (const owner of before) await answer(test.engine, owner)
    const sessionId = 'never-stored'
    await expect(startRun(test.engine, { sessionId })).rejects.toMatchObject(limited(`${scope}_starts`))
    await expect(test.engine.sessions.get(ada, sessionId)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    await answer(test.engine, free)
  })

  it('a process that has used them up refuses every caller', async () => {
    const options = { limits: { process: { startsPerMinute: 1 } } }
    await using test = await openOne({ agents: [quick()], options })
    await answer(test.engine, ada)
    await expect(startRun(test.engine, { owner: elsewhere })).rejects.toMatchObject(limited('process_starts'))
  })

  it('a caller that waits as long as the refusal says is admitted', async () => {
    let nowMs = 0
    const clock = { now: () => new Date(), monotonicMs: () => nowMs }
    await using database = await openDatabase()
    const options = { limits: { principal: { startsPerMinute: 3 } } }
    await using process = openProcess(database, { agent: quick(), options, clock })
    const { engine } = process
    for (let start = 0; start < 3; start++) await answer(engine, ada)
    const refused = await startRun(engine, { sessionId: 'later' }).catch((error: unknown) => error)
    nowMs += isVerbatimError(refused) ? (refused.data.retryAfterMs ?? 0) : 0
    expect(nowMs).toBe(20_000)
    await answer(engine, ada, 'later')
  })

  it('a start that is repeated is the same run, is not refused, and is charged once', async () => {
    const options = { limits: { principal: { startsPerMinute: 2 } } }
    await using test = await openOne({ agents: [quick()], options })
    const { engine } = test
    const runId = crypto.randomUUID()
    for (let repeat = 0; repeat < 5; repeat++) await startRun(engine, { runId })
    await followAll(engine, runId)
    const second = await startRun(engine, { sessionId: 'session-2' })
    await followAll(engine, second)
    await startRun(engine, { runId: second, sessionId: 'session-2' })
    await expect(startRun(engine, { runId: second, message: 'Other' })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    await expect(startRun(engine, { sessionId: 'session-3' })).rejects.toMatchObject(limited('principal_starts'))
    expect(engine.stats().runsStarted).toBe(2)
  })

  it('a retry of an answer counts as a start', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: { limits: { principal: { startsPerMinute: 1 } } } })
    const runId = await startRun(test.engine)
    agent.fail(new Error('broken'))
    await followAll(test.engine, runId)
    const retry = { runId, newRunId: crypto.randomUUID() }
    await expect(test.engine.runs.retry(ada, retry)).rejects.toMatchObject(limited('principal_starts'))
  })
})

it('bytes a minute count prompts and appended messages, and the largest prompt passes when nothing was sent before', async () => {
  const options = { limits: { principal: { bytesPerMinute: 1_000 } } }
  await using test = await openOne({ agents: [quick()], options })
  const { engine } = test
  const append = async (content: string) =>
    await engine.messages.append(ada, { sessionId: 'session-2', role: 'user', content })
  await append('x'.repeat(900))
  await expect(append('x'.repeat(200))).rejects.toMatchObject(limited('principal_bytes'))
  await expect(startRun(engine, { message: 'x'.repeat(200) })).rejects.toMatchObject(limited('principal_bytes'))
  const message = 'x'.repeat(maxPromptBytes)
  await followAll(engine, await startRun(engine, { owner: eve, message }), { owner: eve })
})

describe('active runs of a process', () => {
  it('are never more than may be, also when many start at once, and one that ends makes room', async () => {
    const gate = createGate()
    const options = { limits: { process: { activeRuns: 3 } } }
    await using test = await openOne({ agents: [echoAgent({ gate })], options })
    const { engine } = test
    const starts = await Promise.allSettled(
      Array.from({ length: 12 }, async (_, at) => await startRun(engine, { sessionId: `session-${at}` })),
    )
    expect(refusalsOf(starts)).toEqual(
      Array.from({ length: 9 }, () => expect.objectContaining(limited('process_active_runs')) as unknown),
    )
    await vi.waitFor(() => expect(gate.arrivals).toBe(3), waitOptions)
    gate.open()
    await expectIdle(engine)
    await answer(engine, ada)
  })
})

describe('active runs of a principal', () => {
  it('are never more than may be, however many processes start them at once, and an end makes room', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const options = { limits: { principal: { activeRuns: 5 } } }
    await using fleet = openFleet(3, database, { agent: echoAgent({ gate }), options })
    const starts = await Promise.allSettled(
      Array.from({ length: 30 }, async (_, at) => await startRun(fleet.at(at), { sessionId: `session-${at}` })),
    )
    const begun = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
    expect(begun).toHaveLength(5)
    expect(refusalsOf(starts)).toEqual(
      Array.from({ length: 25 }, () => expect.objectContaining(limited('principal_active_runs'))),
    )
    const runs = database.client.db(database.databaseName).collection('runs')
    expect(await runs.countDocuments()).toBe(5)
    await startRun(fleet.at(0), { owner: eve })
    gate.open()
    for (const runId of begun) await followAll(fleet.at(0), runId)
    await answer(fleet.at(1), ada)
  }, 60_000)

  it('include the prompts that wait, and a start that is repeated is the same run', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: { limits: { principal: { activeRuns: 2 } } } })
    const { engine } = test
    const first = await startRun(engine)
    const queued = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Next', whenBusy: 'queue' as const }
    expect((await engine.runs.start(ada, queued)).status).toBe('queued')
    await expect(startRun(engine, { sessionId: 'session-2' })).rejects.toMatchObject(limited('principal_active_runs'))
    expect((await engine.runs.start(ada, queued)).status).toBe('queued')
    await startRun(engine, { runId: first })
    agent.end()
    await followAll(engine, first)
    await startRun(engine, { runId: first })
    await engine.runs.cancel(ada, queued.runId)
    agent.end()
    await expectIdle(engine)
    await startRun(engine, { sessionId: 'session-2' })
    agent.end()
    await expectIdle(engine)
  })

  it('leave room for a prompt that ends waiting ones in its stead, and a busy session says first that it is busy', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: { limits: { principal: { activeRuns: 2 } } } })
    const { engine } = test
    await startRun(engine)
    const next = (whenBusy: 'queue' | 'replace' | 'reject', runId: string = crypto.randomUUID()) =>
      engine.runs.start(ada, { runId, sessionId: 'session-1', message: 'Next', whenBusy })
    const queued = crypto.randomUUID()
    await next('queue', queued)
    await expect(next('queue')).rejects.toMatchObject(limited('principal_active_runs'))
    await expect(next('reject')).rejects.toMatchObject({ code: 'SESSION_BUSY' })
    const last = crypto.randomUUID()
    expect((await next('replace', last)).status).toBe('queued')
    expect((await engine.runs.get(ada, queued)).status).toBe('cancelled')
    await vi.waitFor(async () => expect((await engine.runs.get(ada, last)).status).toBe('running'), waitOptions)
    agent.end()
    await expectIdle(engine)
  })
})

it('active runs of a tenant are those of all its users', async () => {
  const agent = manualAgent()
  await using test = await openOne({ agents: [agent], options: { limits: { tenant: { activeRuns: 1 } } } })
  const { engine } = test
  const runId = await startRun(engine)
  await expect(startRun(engine, { owner: eve })).rejects.toMatchObject(limited('tenant_active_runs'))
  await startRun(engine, { runId })
  agent.end()
  await followAll(engine, runId)
  await startRun(engine, { owner: elsewhere })
  agent.end()
  await expectIdle(engine)
})

describe('sessions of a principal', () => {
  it('are never more than may be, however many processes make them at once, and a deleted one makes room', async () => {
    await using database = await openDatabase()
    const options = { limits: { principal: { sessions: 4 } } }
    await using fleet = openFleet(2, database, { agent: quick(), options })
    const makers = [
      async (engine: Engine, sessionId: string) => await engine.sessions.create(ada, { sessionId }),
      async (engine: Engine, sessionId: string) => await startRun(engine, { sessionId }),
      async (engine: Engine, sessionId: string) =>
        await engine.messages.append(ada, { sessionId, role: 'user', content: 'Hello' }),
    ]
    const made = await Promise.allSettled(
      Array.from({ length: 24 }, async (_, at) => await makers[at % 3]?.(fleet.at(at), `session-${at}`)),
    )
    expect(refusalsOf(made)).toEqual(
      Array.from({ length: 20 }, () => expect.objectContaining(limited('principal_sessions'))),
    )
    const { items } = await fleet.at(0).sessions.list(ada, { limit: 100 })
    expect(items).toHaveLength(4)
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(4)
    const [kept] = items
    const sessionId = kept?.id ?? ''
    expect(await fleet.at(1).sessions.create(ada, { sessionId })).toMatchObject({ id: sessionId })
    await fleet.at(1).sessions.create(eve, {})
    await fleet.at(1).sessions.delete(ada, { sessionId })
    await fleet.at(0).sessions.create(ada, {})
    await expect(fleet.at(0).sessions.create(ada, {})).rejects.toMatchObject(limited('principal_sessions'))
  }, 60_000)
})

describe('followers', () => {
  it.each([
    ['principal', ada],
    ['tenant', eve],
    ['process', elsewhere],
  ] as const)('a %s with as many as may be is refused one more, until one leaves', async (scope, second) => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: { limits: { [scope]: { followers: 1 } } } })
    const { engine } = test
    const runId = await startRun(engine)
    const leaving = new AbortController()
    const first = engine.runs.follow(ada, runId, { signal: leaving.signal })
    await first.next()
    await expect(followAll(engine, runId, { owner: second })).rejects.toMatchObject(limited(`${scope}_followers`))
    expect(engine.stats().followers).toBe(1)
    await first.return()
    agent.end()
    await followAll(engine, runId)
    await expectIdle(engine)
  })
})

it.each([
  [{ principal: { startsPerMinute: 0 } }, 'limits.principal.startsPerMinute'],
  [{ tenant: { followers: 1.5 } }, 'limits.tenant.followers'],
  [{ process: { sessions: 3 } }, 'limits.process'],
])('limits of %j are refused at the start, and the message names the field', async (limits, field) => {
  await using database = await openDatabase()
  const open = () => openProcess(database, { agent: quick(), options: { limits: limits as never } })
  expect(open).toThrow(
    expect.objectContaining({ code: 'INVALID_CONFIGURATION', message: expect.stringContaining(field) as string }),
  )
})
