import { isTerminalEvent, textOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions, startRun } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

describe('cancel', () => {
  it('a cancel in mid-answer keeps the streamed part, says where the run ended and stops the agent', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine)
    const following = followAll(engine, runId)
    agent.say('A part ')
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const result = await engine.runs.cancel(ada, runId)
    const events = await following
    expect(result).toEqual({ runId, status: 'cancelled', finalSeq: events.length, hadEnded: false })
    expect(events.filter(isTerminalEvent)).toMatchObject([{ type: 'run_cancelled' }])
    expect(await answerMessage(engine, runId)).toMatchObject({
      status: 'cancelled',
      content: [{ type: 'text', text: 'A part ' }],
    })
    expect(agent.wasStopped).toBe(true)
    await expectIdle(engine)
    await startRun(engine, { message: 'The session is free again' })
    agent.end()
  })

  it('a cancel that is repeated, comes ten times at once or comes after the end changes nothing and says so', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine)
    const results = await Promise.all(Array.from({ length: 10 }, async () => await engine.runs.cancel(ada, runId)))
    expect(new Set(results.map((result) => `${result.status} ${result.finalSeq}`))).toEqual(new Set(['cancelled 2']))
    expect(await engine.runs.cancel(ada, runId)).toMatchObject({ status: 'cancelled', finalSeq: 2, hadEnded: true })
    const done = await startRun(engine)
    agent.say('whole')
    agent.end()
    const events = await followAll(engine, done)
    const late = { runId: done, status: 'completed', finalSeq: events.length, hadEnded: true }
    expect(await engine.runs.cancel(ada, done)).toEqual(late)
    expect(await followAll(engine, done)).toEqual(events)
    expect((await answerMessage(engine, done)).status).toBe('completed')
  })

  it('a cancel on another process reaches the run long before a heartbeat', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    // No heartbeat falls into the test: only the look for intents can bring this one.
    const options = { heartbeatMs: 200_000, selfFenceMs: 400_000, leaseMs: 600_000 }
    await using first = openEngine(database, { agents: [agent], options })
    await using second = openEngine(database, { agents: [agent], options })
    const runId = await startRun(first)
    agent.say('A part')
    await vi.waitFor(() => expect(first.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const result = await second.runs.cancel(ada, runId)
    const events: RunEvent[] = await followAll(second, runId)
    expect(result).toEqual({ runId, status: 'cancelled', finalSeq: events.length, hadEnded: false })
    expect(textOf(answerFrom(events).content)).toBe('A part')
    expect(agent.wasStopped).toBe(true)
  })

  it('a cancel whose process does not hear it answers after the wait, and the request stays', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using first = openEngine(database, { agents: [agent], options: shortLeases })
    await using second = openEngine(database, { agents: [agent], options: { ...shortLeases, cancelWaitMs: 1 } })
    const runId = await startRun(first)
    expect(await second.runs.cancel(ada, runId)).toMatchObject({ runId, hadEnded: false })
    expect(answerFrom(await followAll(second, runId)).status).toBe('cancelled')
  })

  it('a cancel ends a run whose agent ignores its signal', async () => {
    const agent = manualAgent({ ignoresSignal: true })
    await using test = await openOne({ agents: [agent] })
    const runId = await startRun(test.engine)
    agent.say('stuck')
    await vi.waitFor(() => expect(test.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    expect(await test.engine.runs.cancel(ada, runId)).toMatchObject({ status: 'cancelled', hadEnded: false })
    agent.say(' and late')
    expect(textOf(answerFrom(await followAll(test.engine, runId)).content)).toBe('stuck')
  })
})
