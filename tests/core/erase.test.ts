/** The erasure of a principal: nothing of it is left in any collection, wherever a process stops, and nothing comes back. */
import { isVerbatimError, ownerOf } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { dbOf, receiptsOf } from '../support/deleted.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { interceptOperations } from '../support/intercepted-client.ts'
import type { Interceptor } from '../support/intercepted-client.ts'
import { PowerCut, powerCutAt } from '../support/power-cut.ts'
import { expectIdle } from '../support/leaks.ts'
import { documentsOf, eraseNow, exportOf, leftOf, linesOf } from '../support/principals.ts'

const canary = 'the treasure is under the oak'
/** A name that no other text of the database holds. */
const cora = ownerOf({ userId: 'cora-7f3a@example.com', tenantId: 'default', scopes: [] })
const coraElsewhere = ownerOf({ userId: cora.ownerId, tenantId: 'another', scopes: [] })
const markers = [canary, cora.ownerId, 'coras-session']
const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const agents = [pacedAgent(answerOf([canary, ' and ', canary]))]

/** Sessions of every state: with a log, with an archive, without a run, deleted, and half deleted. Answers what a receipt counts. */
async function fill(engine: Engine, database: TestDatabase, owner: Owner): Promise<Record<string, number>> {
  const { eventLog, deletionRepository } = database.storage
  let events = 0
  for (const at of [1, 2, 3, 4]) {
    const runId = await startRun(engine, { owner, sessionId: `coras-session-${at}`, message: canary })
    const count = (await followAll(engine, runId, { owner })).length
    if (at === 2) await eventLog.archive([eventLog.keyOf(owner, runId)], { expiresAt: new Date('2100-01-01') })
    if (at !== 3) events += count
  }
  await engine.messages.append(owner, { sessionId: 'coras-session-5', role: 'user', content: canary })
  await engine.sessions.create(owner, { sessionId: 'coras-session-6', title: canary })
  await engine.sessions.delete(owner, { sessionId: 'coras-session-3' })
  await deletionRepository.storeTombstone(owner, 'coras-session-4')
  return { sessions: 5, runs: 3, messages: 7, events }
}

function storageWith({ client, databaseName }: TestDatabase, intercept: Interceptor) {
  return createMongoStorage({ client: interceptOperations(client, intercept), databaseName, clock: systemClock })
}

function codeOf(error: unknown): string {
  return isVerbatimError(error) ? error.code : String(error)
}

describe('an erasure', () => {
  it('an erasure leaves no word and no name of the principal in any collection, and a receipt that counts what went', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const counts = await fill(engine, database, cora)
    await engine.sessions.get(eve, 'coras-session-1').catch(() => {})
    await exportOf(engine, cora)
    expect(await leftOf(database, markers)).toEqual(expect.arrayContaining(['messages', 'sessions', 'runs', 'audit']))
    const erasure = await eraseNow(database.storage.principalRepository, cora, { requestedBy: eve })
    expect(erasure).toMatchObject({ status: 'erased', requestedBy: 'eve', counts })
    expect(await leftOf(database, markers)).toEqual([])
    const { items } = await engine.audit.list({ tenantId: 'default', limit: 10 })
    expect(items[0]).toMatchObject({ action: 'principal_erased', actor: { userId: 'eve' }, counts, subject: null })
    const lines = await exportOf(engine, cora)
    expect(lines.map((line) => line.type)).toEqual(['header', 'audit', 'trailer'])
  })

  it('other principals, and the same user of another tenant, keep all they have', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    for (const owner of [cora, eve, coraElsewhere]) await fill(engine, database, owner)
    const before = [await documentsOf(database, eve), await documentsOf(database, coraElsewhere)]
    await eraseNow(database.storage.principalRepository, cora)
    expect([await documentsOf(database, eve), await documentsOf(database, coraElsewhere)]).toEqual(before)
    expect(await documentsOf(database, cora)).toMatchObject({ sessions: [], runs: [] })
  })

  it('an erasure goes on wherever it was broken off, and its receipt counts everything once', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    let steps = 0
    for (let write = 1; ; write++) {
      const outcomes: string[] = []
      for (const when of ['before', 'after'] as const) {
        const owner = ownerOf({ userId: `${cora.ownerId}-${write}-${when}`, tenantId: 'default', scopes: [] })
        const counts = await fill(engine, database, owner)
        const id = crypto.randomUUID()
        const { principalRepository } = storageWith(database, powerCutAt(write, when))
        const outcome = await eraseNow(principalRepository, owner, { id, requestedBy: eve }).catch((error: unknown) => {
          if (!(error instanceof PowerCut)) throw error
          return 'cut'
        })
        outcomes.push(typeof outcome === 'string' ? outcome : outcome.status)
        const erasure = await eraseNow(database.storage.principalRepository, owner, { id, requestedBy: eve })
        expect(erasure).toMatchObject({ id, status: 'erased', counts })
        expect(await leftOf(database, markers)).toEqual([])
        expect(await dbOf(database).collection('erasures').countDocuments()).toBe(0)
      }
      if (outcomes.every((outcome) => outcome === 'erased')) break
      steps = write
    }
    expect(steps).toBeGreaterThan(30)
    const receipts = (await receiptsOf(database)).filter((receipt) => receipt.action === 'principal_erased')
    expect(receipts).toHaveLength(2 * (steps + 1))
  }, 240_000)

  it('three processes that erase at once store one receipt', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const counts = await fill(engine, database, cora)
    const id = crypto.randomUUID()
    const erasures = await Promise.all(
      Array.from({ length: 3 }, () => eraseNow(database.storage.principalRepository, cora, { id })),
    )
    for (const erasure of erasures) expect(erasure).toMatchObject({ id, status: 'erased', counts })
    const receipts = (await receiptsOf(database)).filter((receipt) => receipt.action === 'principal_erased')
    expect(receipts).toHaveLength(1)
  })

  it('the same erasure id answers the same receipt for good, and another id begins a new erasure', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const { principalRepository } = database.storage
    await fill(engine, database, cora)
    const id = crypto.randomUUID()
    const first = await eraseNow(principalRepository, cora, { id })
    expect(await eraseNow(principalRepository, cora, { id })).toEqual(first)
    expect(await engine.principals.erase(cora, { erasureId: id })).toEqual(first)
    expect(await eraseNow(principalRepository, cora)).toMatchObject({ status: 'erased', counts: {} })
    // One that goes on answers every other id too.
    const { erasure } = await principalRepository.beginErasure(cora, { id: crypto.randomUUID(), requestedBy: eve })
    const other = await principalRepository.beginErasure(cora, { id: crypto.randomUUID(), requestedBy: eve })
    expect(other.erasure.id).toBe(erasure.id)
    // An id of another owner's erasure is no receipt of this one's.
    expect(await eraseNow(principalRepository, eve, { id })).toMatchObject({ id, status: 'erased', counts: {} })
  })

  it('an erasure of many sessions takes them in parts of at most 100', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const made = Array.from({ length: 450 }, (_, at) =>
      engine.sessions.create(cora, { sessionId: `coras-session-${at}` }),
    )
    await Promise.all(made)
    let largest = 0
    const { principalRepository } = storageWith(database, async (_operation, proceed) => {
      const answer = await proceed()
      const { matchedCount = 0, deletedCount = 0 } = (answer ?? {}) as { matchedCount?: number; deletedCount?: number }
      largest = Math.max(largest, matchedCount, deletedCount)
      return answer
    })
    expect(await eraseNow(principalRepository, cora)).toMatchObject({ counts: { sessions: 450 } })
    expect(largest).toBe(100)
  }, 60_000)
})

describe('an erasure beside the living', () => {
  it('a run that goes on in another process is cancelled, and its late events do not come back', async () => {
    const agent = manualAgent()
    await using database = await openDatabase()
    await using one = openEngine(database, { agents: [agent], options: { ...still, cancelPollMs: 50 } })
    const runId = await startRun(one, { owner: cora, sessionId: 'coras-session-1', message: canary })
    agent.say(canary)
    await vi.waitFor(() => expect(one.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const followed = followAll(one, runId, { owner: cora })
    const erasing = eraseNow(database.storage.principalRepository, cora)
    expect((await followed).at(-1)?.type).toBe('run_cancelled')
    agent.say(canary, canary)
    await expect(erasing).resolves.toMatchObject({ status: 'erased', counts: { sessions: 1, runs: 1, messages: 2 } })
    await expectIdle(one)
    expect(await leftOf(database, markers)).toEqual([])
  })

  it('a run whose process died ends by recovery, and then its session is erased', async () => {
    const agent = manualAgent()
    await using database = await openDatabase()
    await using lost = openCrashableEngine(database, { agents: [agent], options: { ...shortLeases, ...still } })
    await startRun(lost.engine, { owner: cora, sessionId: 'coras-session-1', message: canary })
    agent.say(canary)
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await lost.crash()
    const erasing = eraseNow(database.storage.principalRepository, cora)
    await using _other = openEngine(database, { agents: [manualAgent()], options: { ...shortLeases, ...still } })
    expect(await erasing).toMatchObject({ status: 'erased', counts: { sessions: 1, runs: 1 } })
    expect(await leftOf(database, markers)).toEqual([])
  })

  it('while an erasure goes on nothing of the principal can begin, and after it the principal begins anew', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const { principalRepository } = database.storage
    await fill(engine, database, cora)
    await principalRepository.beginErasure(cora, { id: crypto.randomUUID(), requestedBy: eve })
    const sessionId = 'coras-session-new'
    const attempts: Record<string, () => Promise<unknown>> = {
      start: () => startRun(engine, { owner: cora, sessionId }),
      create: () => engine.sessions.create(cora, { sessionId }),
      append: () => engine.messages.append(cora, { sessionId, role: 'user', content: 'x' }),
    }
    for (const [name, attempted] of Object.entries(attempts)) {
      expect([name, await attempted().then(() => 'answered', codeOf)]).toEqual([name, 'PRINCIPAL_ERASING'])
    }
    await startRun(engine, { owner: eve, sessionId })
    expect((await eraseNow(principalRepository, cora)).status).toBe('erased')
    expect(await startRun(engine, { owner: cora, sessionId: 'coras-session-1' }).catch(codeOf)).toBe('SESSION_DELETED')
    const runId = await startRun(engine, { owner: cora, sessionId })
    await followAll(engine, runId, { owner: cora })
    expect(linesOf(await exportOf(engine, cora), 'message')).toHaveLength(2)
  })

  it('prompts that come while an erasure runs are refused with a typed error or erased whole', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    await fill(engine, database, cora)
    const outcomes: string[] = []
    let isErased = false
    const prompting = Array.from({ length: 6 }, async (_, lane) => {
      for (let at = 0; !isErased; at++) {
        const sessionId = at % 2 === 0 ? `coras-session-${lane}-${at}` : 'coras-session-1'
        outcomes.push(await startRun(engine, { owner: cora, sessionId, message: canary }).then(() => 'started', codeOf))
      }
    })
    await vi.waitFor(() => expect(outcomes).toContain('started'), waitOptions)
    const { key } = await database.storage.principalRepository.beginErasure(cora, {
      id: crypto.randomUUID(),
      requestedBy: eve,
    })
    const removing = {
      lateWriteGraceMs: 60_000,
      onRemoved: () => Promise.resolve(),
      signal: AbortSignal.timeout(20_000),
    }
    let status = ''
    while (status !== 'settling')
      status = (await database.storage.principalRepository.erase(key, removing))?.erasure.status ?? ''
    isErased = true
    await Promise.all(prompting)
    await expectIdle(engine)
    const allowed = ['started', 'SESSION_BUSY', 'PRINCIPAL_ERASING', 'SESSION_DELETED']
    expect(outcomes.filter((outcome) => !allowed.includes(outcome))).toEqual([])
    expect(outcomes).toEqual(expect.arrayContaining(['PRINCIPAL_ERASING', 'SESSION_DELETED']))
    await database.storage.principalRepository.erase(key, removing)
    expect(await leftOf(database, [canary, 'coras-session'])).toEqual([])
  }, 60_000)

  it('the sweeper of another process completes an erasure whose process is gone, and its keys go after its content', async () => {
    await using database = await openDatabase()
    const quick = { heartbeatMs: 1_000, selfFenceMs: 1_200, leaseMs: 1_500, sweepMs: 100, archiveDelayMs: 600_000 }
    await using lost = openCrashableEngine(database, { agents, options: still })
    await fill(lost.engine, database, cora)
    const erasure = await lost.engine.principals.erase(cora, { requestedBy: eve, signal: AbortSignal.abort() })
    expect(erasure.status).toBe('erasing')
    await lost.crash()
    const destroyed: string[] = []
    const erase = async (owner: Owner) => {
      destroyed.push(owner.ownerId)
      expect(await leftOf(database, [canary])).toEqual([])
    }
    await using other = openEngine(database, { agents, options: quick, wrap: () => ({ contentKeys: { erase } }) })
    await vi.waitFor(async () => {
      const answered = await other.principals.erase(cora, { erasureId: erasure.id, signal: AbortSignal.abort() })
      expect(answered).toMatchObject({ id: erasure.id, status: 'erased' })
    }, waitOptions)
    expect(new Set(destroyed)).toEqual(new Set([cora.ownerId]))
    expect(await leftOf(database, markers)).toEqual([])
  })

  it('an erasure waits while its keys cannot be destroyed', async () => {
    await using database = await openDatabase()
    const quick = { heartbeatMs: 1_000, selfFenceMs: 1_200, leaseMs: 1_500, sweepMs: 100, archiveDelayMs: 600_000 }
    let calls = 0
    const erase = async () => {
      if (++calls < 3) return await Promise.reject(new Error('The key service is away'))
    }
    await using engine = openEngine(database, { agents, options: quick, wrap: () => ({ contentKeys: { erase } }) })
    await engine.sessions.create(cora, { sessionId: 'coras-session-1' })
    const erasureId = crypto.randomUUID()
    await vi.waitFor(async () => {
      expect((await engine.principals.erase(cora, { erasureId })).status).toBe('erased')
    }, waitOptions)
    expect(calls).toBeGreaterThanOrEqual(3)
  })
})
