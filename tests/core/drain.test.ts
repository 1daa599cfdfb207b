import { ownerOf, textOf, toCursor, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createEngine } from '@verbatim/core/server'
import type { Agent, EventLog, RunRepository } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { describe, expect, inject, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, followAll, waitOptions, startRun } from '../support/follow.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

/** Says `text`, then waits until `release` is called (or for ever). */
function heldAgent(text: string): Agent & { release(): void } {
  const gate = Promise.withResolvers<void>()
  return {
    id: 'held',
    release: gate.resolve,
    async *stream(): AsyncGenerator<AgentEvent> {
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      await gate.promise
      yield { type: 'content_block_stop', index: 0 }
    },
  }
}

/** Follows until the text has arrived; answers what was seen. */
async function followUntilText(engine: ReturnType<typeof createEngine>, runId: string): Promise<RunEvent[]> {
  const seen: RunEvent[] = []
  for await (const batch of engine.runs.follow(owner, runId, { signal: AbortSignal.timeout(10_000) })) {
    seen.push(...batch.events)
    if (seen.some((event) => event.type === 'content_block_delta')) break
  }
  return seen
}

it('a drain lets a running answer end within the grace period, refuses new runs and then sends followers elsewhere', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const agent = heldAgent('nearly done')
  await using engine = createEngine({ ...database.storage, agents: [agent] })
  const runId = crypto.randomUUID()
  await engine.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  await followUntilText(engine, runId)
  const drained = engine.drain({ graceMs: 60_000 })
  await expect(
    engine.runs.start(owner, { sessionId: 't', runId: crypto.randomUUID(), message: 'late' }),
  ).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  agent.release()
  await drained
  expect((await engine.runs.get(owner, runId)).status).toBe('completed')
})

it('a drain releases an answer that outlasts the grace period, and another process ends it', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const first = createEngine({ ...database.storage, agents: [heldAgent('half an ans')] })
  const runId = crypto.randomUUID()
  await first.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const seen = await followUntilText(first, runId)
  const follower = first.runs
    .follow(owner, runId, { after: toCursor(runId, seen.length), signal: AbortSignal.timeout(10_000) })
    .next()
  await Promise.all([expect(follower).rejects.toMatchObject({ code: 'UNAVAILABLE' }), first.drain({ graceMs: 1 })])
  await first.close()

  await using second = createEngine({ ...database.storage, agents: [heldAgent('')] }, { recoveryMs: 50 })
  const rest: RunEvent[] = []
  for await (const batch of second.runs.follow(owner, runId, {
    after: toCursor(runId, seen.length),
    signal: AbortSignal.timeout(10_000),
  })) {
    rest.push(...batch.events)
  }
  expect(rest.map((event) => event.type)).toEqual(['run_interrupted'])
  const [, answer] = (await second.messages.list(owner, 's', { order: 'oldest', limit: 10 })).items
  expect(answer).toMatchObject({ status: 'interrupted', runId })
  expect(textOf(answer?.content ?? [])).toBe('half an ans')
})

/** Never answers, whatever its signal says: a database that hangs. */
const never = () => new Promise<never>(() => {})

describe('a process that leaves while the database does not answer', () => {
  it('a drain without a database shows no end that is not stored', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const finishRun = vi.fn<RunRepository['finishRun']>(never)
    const runRepository: RunRepository = { ...database.storage.runRepository, finishRun }
    await using leaving = openEngine(database, { agents: [agent], wrap: () => ({ runRepository }) })
    const runId = await startRun(leaving)
    const seen: RunEvent[] = []
    const following = followAll(leaving, runId, { onBatch: (batch) => seen.push(...batch.events) })
    agent.say('whole')
    agent.end()
    await vi.waitFor(() => expect(finishRun).toHaveBeenCalledTimes(1), waitOptions)
    await Promise.all([expect(following).rejects.toMatchObject({ code: 'UNAVAILABLE' }), leaving.drain({ graceMs: 1 })])
    expect(seen.at(-1)).toMatchObject({ type: 'message_stop' })
    expect(leaving.stats()).toMatchObject({ runsActive: 0, runsEnded: { completed: 0 } })

    await using staying = openEngine(database, { agents: [agent], options: { recoveryMs: 50 } })
    expect((await followAll(staying, runId)).at(-1)).toMatchObject({ type: 'run_interrupted' })
  })

  it('a drain without a database does not wait for an agent that waits for room in the log', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const append = vi.fn<EventLog['append']>(never)
    const eventLog: EventLog = { ...database.storage.eventLog, append }
    await using leaving = openEngine(database, {
      agents: [agent],
      options: { maxPendingBytes: 1_000 },
      wrap: () => ({ eventLog }),
    })
    const runId = await startRun(leaving)
    agent.say('x'.repeat(1_000))
    await vi.waitFor(() => expect(append).toHaveBeenCalled(), waitOptions)
    await leaving.drain({ graceMs: 1 })
    expect(agent.wasStopped).toBe(true)
    expect(leaving.stats().runsActive).toBe(0)

    // Nothing of the answer was stored, so it is asked for again.
    const quick = pacedAgent(answerOf(['y']), { id: agent.id })
    await using staying = openEngine(database, { agents: [quick], options: { recoveryMs: 50 } })
    const events = await followAll(staying, runId)
    expect(events.map((event) => event.type).slice(0, 3)).toEqual(['run_started', 'run_resumed', 'message_start'])
    expect(events.at(-1)?.type).toBe('run_completed')
  })

  it('a drain without a database waits neither for the beginning of a takeover nor for the release of its leases', async () => {
    await using database = await openDatabase()
    await using lost = openCrashableEngine(database, { agents: [manualAgent()] })
    await startRun(lost.engine)
    await lost.crash()
    const agent = manualAgent()
    const resumeRun = vi.fn<RunRepository['resumeRun']>(never)
    const releaseLeases = vi.fn<RunRepository['releaseLeases']>(never)
    const runRepository: RunRepository = { ...database.storage.runRepository, resumeRun, releaseLeases }
    const leaving = openEngine(database, {
      agents: [agent],
      options: { recoveryMs: 50 },
      wrap: () => ({ runRepository }),
    })
    const other = await startRun(leaving, { sessionId: 'session-2' })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    await vi.waitFor(() => expect(resumeRun).toHaveBeenCalled(), waitOptions)
    await leaving.close()
    expect(releaseLeases).toHaveBeenCalledTimes(2)
    expect((await database.storage.runRepository.getRun(ada, other))?.status).toBe('running')
  })
})
