/** The deletion of a session: its run ends for every follower, no run starts in it again, and nothing of what was said is left. */
import { isVerbatimError } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { collectionsWith, expectTombstones, receiptsOf } from '../support/deleted.ts'
import { expireLeases, openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, eve, followAll, waitOptions, startRun } from '../support/follow.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { echoAgent, ended, holdEnds, sessionId, start } from '../support/queue.ts'

const canary = 'the treasure is under the oak'
const page = { limit: 10 }

/** Every call that needs the session, none of which may find it again. */
function everyCall(engine: Engine, ids: { runId: string; messageId: string }): Record<string, Promise<unknown>> {
  const { runId, messageId } = ids
  const again = { sessionId, runId, message: canary }
  const other = { ...again, runId: crypto.randomUUID() }
  return {
    create: engine.sessions.create(ada, { sessionId }),
    get: engine.sessions.get(ada, sessionId),
    update: engine.sessions.update(ada, { sessionId, title: 'x' }),
    messages: engine.messages.list(ada, sessionId, { ...page, order: 'oldest' }),
    message: engine.messages.get(ada, sessionId, messageId),
    append: engine.messages.append(ada, { sessionId, role: 'user', content: 'x' }),
    appendAgain: engine.messages.append(ada, { sessionId, role: 'user', content: canary, messageId }),
    runs: engine.runs.list(ada, sessionId, page),
    run: engine.runs.get(ada, runId),
    cancel: engine.runs.cancel(ada, runId),
    retry: engine.runs.retry(ada, { runId, newRunId: crypto.randomUUID() }),
    follow: followAll(engine, runId),
    followOn: followAll(engine, runId, { after: 2 }),
    followEnd: followAll(engine, runId, { after: 8 }),
    startAgain: engine.runs.start(ada, again),
    start: engine.runs.start(ada, other),
    queue: engine.runs.start(ada, { ...other, whenBusy: 'queue' }),
    replace: engine.runs.start(ada, { ...other, whenBusy: 'replace' }),
  }
}

function codeOf(error: unknown): string {
  return isVerbatimError(error) ? error.code : String(error)
}

async function codesOf(calls: Record<string, Promise<unknown>>): Promise<Record<string, string>> {
  const codes = Object.entries(calls).map(async ([name, call]): Promise<[string, string]> => {
    const code = await call.then(() => 'answered', codeOf)
    return [name, code]
  })
  return Object.fromEntries(await Promise.all(codes))
}

/** The events that a follower is given, and the code of the error that ends it, if one does. */
async function follow(engine: Engine, runId: string): Promise<{ events: RunEvent[]; code: string | undefined }> {
  const events: RunEvent[] = []
  const code = await followAll(engine, runId, { onBatch: (batch) => events.push(...batch.events) }).then(
    () => undefined,
    codeOf,
  )
  return { events, code }
}

describe('a session that is deleted', () => {
  it('a deletion leaves keys and an exact receipt, and every later call says that the session is deleted', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf([canary]))] })
    const { engine, database } = test
    const runId = await startRun(engine, { message: canary })
    const events = [...(await followAll(engine, runId)), ...(await followAll(engine, await startRun(engine, {})))]
    const { userMessageId: messageId } = await engine.runs.get(ada, runId)
    expect(await collectionsWith(database, canary)).toEqual(
      expect.arrayContaining(['messages', 'run_events', 'sessions']),
    )
    const deleted = { sessionId, isPurged: true }
    expect(await engine.sessions.delete(ada, { sessionId })).toEqual(deleted)
    await expectTombstones(database, { runs: 2 })
    expect(await collectionsWith(database, canary)).toEqual([])
    const codes = await codesOf(everyCall(engine, { runId, messageId }))
    expect(Object.entries(codes).filter(([, code]) => code !== 'SESSION_DELETED')).toEqual([])
    expect((await engine.sessions.list(ada, page)).items).toEqual([])
    expect(await engine.sessions.delete(ada, { sessionId })).toEqual(deleted)
    expect(await receiptsOf(database)).toMatchObject([
      {
        tenantId: 'default',
        actor: 'ada',
        action: 'session_deleted',
        counts: { runs: 2, messages: 4, events: events.length },
      },
    ])
    await expectTombstones(database, { runs: 2 })
  })

  it('a deleted session shows and accepts nothing while its run goes on in a process that has not heard of it', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const hearing = createGate()
    await using owner = openEngine(database, {
      agents: [agent],
      options: shortLeases,
      wrap: ({ runRepository }) => ({
        runRepository: {
          ...runRepository,
          async findCancelRequests(...args) {
            await hearing.pass()
            return await runRepository.findCancelRequests(...args)
          },
        },
      }),
    })
    await using other = openEngine(database, { agents: [agent], options: { cancelWaitMs: 300, startWaitMs: 100 } })
    const runId = await startRun(owner, { message: canary })
    agent.say('Well')
    await vi.waitFor(() => expect(owner.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const { userMessageId: messageId } = await other.runs.get(ada, runId)
    expect(await other.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: false })
    // What is said of the run itself is true until it has ended.
    const ofRun = new Set(['run', 'cancel', 'retry', 'follow', 'followOn', 'followEnd', 'appendAgain'])
    const calls = Object.entries(everyCall(other, { runId, messageId }))
    const untilItEnds = codesOf(Object.fromEntries(calls.filter(([name]) => ofRun.has(name))))
    const codes = await codesOf(Object.fromEntries(calls.filter(([name]) => !ofRun.has(name))))
    expect(Object.entries(codes).filter(([, code]) => code !== 'SESSION_DELETED')).toEqual([])
    expect((await other.sessions.list(ada, page)).items).toEqual([])
    await expect(other.sessions.delete(eve, { sessionId })).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    hearing.open()
    await untilItEnds
    await vi.waitFor(async () => {
      expect(await other.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: true })
    }, waitOptions)
    await expectTombstones(database, { runs: 1 })
  })

  it('a deletion cancels the run of the session, shows that to its followers and stops the agent', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine, database } = test
    const runId = await startRun(engine, { message: canary })
    const following = Array.from({ length: 10 }, async () => await follow(engine, runId))
    agent.say(canary)
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    expect(await engine.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: true })
    for (const { events, code } of await Promise.all(following)) {
      expect([events.at(-1)?.type, code]).toEqual(['run_cancelled', undefined])
    }
    expect(agent.wasStopped).toBe(true)
    expect(await collectionsWith(database, canary)).toEqual([])
    expect(await receiptsOf(database)).toMatchObject([{ counts: { runs: 1, messages: 2 } }])
  })

  it('one process deletes a session while another makes its run', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using owner = openEngine(database, { agents: [agent], options: shortLeases })
    await using other = openEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(owner, { message: canary })
    const following = [owner, other].map(async (engine) => await follow(engine, runId))
    agent.say(canary)
    await vi.waitFor(() => expect(owner.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    expect(await other.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: true })
    const ends = await Promise.all(following)
    expect(ends[1]?.events.at(-1)?.type).toBe('run_cancelled')
    // The followers of the owning process read the end from its memory; a later follower reads it from the log.
    expect(ends[0]?.code ?? ends[0]?.events.at(-1)?.type).toMatch(/run_cancelled|SESSION_DELETED/)
    await expectTombstones(database, { runs: 1 })
    expect(await collectionsWith(database, canary)).toEqual([])
  })

  it('a deleted session whose run lost its process is purged after the run ends, and nothing continues the run', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash: 'continue' })
    await using owner = openCrashableEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(owner.engine, { message: canary })
    agent.say(canary)
    await vi.waitFor(() => expect(owner.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await using other = openEngine(database, {
      agents: [agent],
      options: { ...shortLeases, sweepMs: 50, cancelWaitMs: 100 },
      // It takes nothing over, so that the run is still there when the session is deleted.
      wrap: ({ runRepository }) => ({
        runRepository: { ...runRepository, claimExpiredLease: async () => await Promise.resolve(undefined) },
      }),
    })
    await owner.crash()
    const following = follow(other, runId)
    expect(await other.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: false })
    expect(await collectionsWith(database, canary)).toContain('messages')
    await using _rescuer = openEngine(database, { agents: [agent], options: { ...shortLeases, sweepMs: 600_000 } })
    await vi.waitFor(async () => expect(await receiptsOf(database)).toHaveLength(1), waitOptions)
    const { events, code } = await following
    expect(code ?? events.at(-1)?.type).toMatch(/run_cancelled|SESSION_DELETED/)
    await vi.waitFor(async () => await expectTombstones(database, { runs: 1 }), waitOptions)
    expect(await collectionsWith(database, canary)).toEqual([])
  })

  it('a deletion ends the queued prompts of the session, which are never asked', async () => {
    const gate = createGate()
    const agent = echoAgent({ gate })
    await using test = await openOne({ agents: [agent] })
    const { engine, database } = test
    const first = await start(engine, 'one')
    await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
    const waiting = await Promise.all(
      ['two', canary].map(async (text) => await start(engine, text, { whenBusy: 'queue' })),
    )
    const following = [first, ...waiting].map(async ({ id }) => await follow(engine, id))
    await vi.waitFor(() => expect(engine.stats().followers).toBe(3), waitOptions)
    expect(await engine.sessions.delete(ada, { sessionId })).toEqual({ sessionId, isPurged: true })
    for (const { events, code } of await Promise.all(following)) {
      expect(code ?? events.at(-1)?.type).toMatch(/run_cancelled|SESSION_DELETED/)
    }
    expect(agent.asked).toEqual(['one'])
    await expectTombstones(database, { runs: 3 })
    expect(await collectionsWith(database, canary)).toEqual([])
  })

  it('a deleted session is purged even when the process that promoted its next run never learns of it', async () => {
    const [gate, ends] = [createGate(), createGate()]
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent({ gate })], wrap: (ports) => holdEnds(ports, ends) })
    const first = await start(engine, 'one')
    const next = await start(engine, canary, { whenBusy: 'queue' })
    gate.open()
    await ended(engine, first)
    expect((await engine.sessions.get(ada, sessionId)).activeRunId).toBe(next.id)
    const deleting = engine.sessions.delete(ada, { sessionId })
    await vi.waitFor(
      async () => await expect(engine.sessions.get(ada, sessionId)).rejects.toMatchObject({ code: 'SESSION_DELETED' }),
      waitOptions,
    )
    await expireLeases(database)
    await using _other = openEngine(database, { agents: [echoAgent()], options: { recoveryMs: 50 } })
    expect(await deleting).toEqual({ sessionId, isPurged: true })
    ends.open()
    await expectTombstones(database, { runs: 2 })
    expect(await receiptsOf(database)).toMatchObject([{ counts: { runs: 2, messages: 4 } }])
  })

  it('a deletion leaves the session with the same ids of another owner alone', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf(['Yes']))], options: { startWaitMs: 100 } })
    const { engine } = test
    const runId = crypto.randomUUID()
    for (const owner of [ada, eve]) await followAll(engine, await startRun(engine, { owner, runId }), { owner })
    await engine.sessions.delete(ada, { sessionId })
    expect((await engine.messages.list(eve, sessionId, { ...page, order: 'oldest' })).items).toHaveLength(2)
    expect(await engine.sessions.list(eve, page)).toMatchObject({ items: [{ id: sessionId }] })
    expect((await followAll(engine, runId, { owner: eve })).at(-1)?.type).toBe('run_completed')
    await expect(startRun(engine, { runId, sessionId: 'session-2' })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    await expect(engine.sessions.delete(ada, { sessionId: 'nowhere' })).rejects.toMatchObject({
      code: 'SESSION_NOT_FOUND',
    })
  })

  it('a deleted session stays empty when two processes write to it at the same moment', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent(answerOf([canary]))]
    const engines = [
      openEngine(database, { agents, options: shortLeases }),
      openEngine(database, { agents, options: shortLeases }),
    ]
    await using _first = engines[0]
    await using _second = engines[1]
    for (let round = 0; round < 5; round++) {
      const id = `session-${round}`
      const calls = engines.flatMap((engine) => [
        engine.messages.append(ada, { sessionId: id, role: 'user', content: canary }),
        ...(['reject', 'queue', 'replace'] as const).map((whenBusy) =>
          engine.runs.start(ada, { sessionId: id, runId: crypto.randomUUID(), message: canary, whenBusy }),
        ),
      ])
      const settled = Promise.allSettled(calls)
      await calls[0]?.catch(() => {})
      const deletions = Promise.allSettled(
        engines.map(
          async (engine) => await askAgain(engine, async () => await engine.sessions.delete(ada, { sessionId: id })),
        ),
      )
      const refusals = (await settled)
        .filter((outcome) => outcome.status === 'rejected')
        .map(({ reason }) => codeOf(reason))
      // A machine that is too busy to answer has refused nothing: what it stores later must be removed all the same.
      expect(refusals.filter((code) => !code.startsWith('SESSION_') && code !== 'UNAVAILABLE')).toEqual([])
      for (const deletion of await deletions) expect(deletion).toMatchObject({ status: 'fulfilled' })
      await vi.waitFor(async () => {
        for (const engine of engines)
          expect(await engine.sessions.delete(ada, { sessionId: id })).toMatchObject({ isPurged: true })
      }, waitOptions)
    }
    expect(await collectionsWith(database, canary)).toEqual([])
    expect(await receiptsOf(database)).toHaveLength(5)
  })
})
