/** Agents that are made on the spot: they answer one run, and that run ends with the process that has them. */
import { textOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { agent } from '@verbatim/core/server'
import type { Agent, RunRepository } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { expireLeases, openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions } from '../support/follow.ts'
import { echoAgent, fastLeases, history, openBusy, promptsOf, queueOf, sessionId, settled } from '../support/queue.ts'

const inputOf = (message: string, runId: string = crypto.randomUUID()) => ({ sessionId, runId, message })

/** A registered agent of the same id, which goes on after a crash: no inline run may ever reach it. */
function namesake(): Agent & { readonly asked: string[] } {
  return { ...echoAgent({ id: 'own' }), onCrash: 'continue' }
}

function sayingHalf(gate: ReturnType<typeof createGate>): Agent {
  return agent({
    id: 'own',
    onCrash: 'continue',
    async *stream(_request, signal) {
      yield 'Half of '
      await gate.pass(signal)
      yield 'it'
    },
  })
}

const lostWithItsAgent = { code: 'RUN_FENCED', data: { kind: 'inline_agent' } }

describe('an inline agent', () => {
  it('An inline agent answers the run that it was passed with, and no other', async () => {
    await using test = await openOne({ agents: [echoAgent()], options: fastLeases })
    const { engine } = test
    const own = agent({ id: 'own', stream: ({ messages }) => `Own: ${textOf(messages.at(-1)?.content ?? [])}` })
    const run = await engine.runs.start(ada, inputOf('first'), { agent: own })
    expect(run.agentId).toBe('own')
    const events = await followAll(engine, run.id)
    expect(events.at(-1)).toMatchObject({ type: 'run_completed', metrics: { cycles: 1, model: 'own' } })
    expect(await answerMessage(engine, run.id)).toMatchObject({
      agentId: 'own',
      content: [{ type: 'text', text: 'Own: first' }],
    })
    const byName = engine.runs.start(ada, { ...inputOf('second'), agentId: 'own' })
    await expect(byName).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' })
    const usual = await engine.runs.start(ada, inputOf('third'))
    expect(textOf(answerFrom(await followAll(engine, usual.id)).content)).toBe('re: third')
  })

  it('A start that is repeated with its inline agent is the same run, and asks the agent once', async () => {
    await using test = await openOne({ agents: [echoAgent()], options: fastLeases })
    const own = echoAgent({ id: 'own' })
    const input = inputOf('once')
    const [first, again] = [
      await test.engine.runs.start(ada, input, { agent: own }),
      await test.engine.runs.start(ada, input, { agent: own }),
    ]
    await followAll(test.engine, first.id)
    expect(again.id).toBe(first.id)
    expect(own.asked).toEqual(['once'])
  })

  it('An inline agent without a usable id is refused, and nothing is stored', async () => {
    await using test = await openOne({ agents: [echoAgent()], options: fastLeases })
    const nameless: Agent = { ...echoAgent(), id: 'no id' }
    const refused = test.engine.runs.start(ada, inputOf('first'), { agent: nameless })
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field: 'agent.id' } })
    await expect(test.engine.sessions.get(ada, sessionId)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
  })
})

describe('when the process is lost', () => {
  it('A run of an inline agent that was lost in its middle ends as interrupted with its part, says why, and is not continued', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    await using lost = openCrashableEngine(database, { agents: [echoAgent()], options: fastLeases })
    const run = await lost.engine.runs.start(ada, inputOf('first'), { agent: sayingHalf(gate) })
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await lost.crash()
    const registered = namesake()
    await using taker = openEngine(database, { agents: [registered], options: fastLeases })
    const end = (await followAll(taker, run.id)).at(-1)
    expect(end).toMatchObject({ type: 'run_interrupted', error: lostWithItsAgent })
    expect(end).not.toHaveProperty('continuedBy')
    expect(await answerMessage(taker, run.id)).toMatchObject({
      status: 'interrupted',
      content: [{ type: 'text', text: 'Half of ' }],
    })
    expect((await taker.sessions.get(ada, sessionId)).activeRunId).toBeNull()
    expect(registered.asked).toEqual([])
  })

  it('A run of an inline agent that was lost before its first word is not driven again by an agent of the same id', async () => {
    await using database = await openDatabase()
    await using lost = openCrashableEngine(database, { agents: [echoAgent()], options: fastLeases })
    const run = await lost.engine.runs.start(ada, inputOf('first'), { agent: manualAgent({ id: 'own' }) })
    await lost.crash()
    const registered = namesake()
    await using taker = openEngine(database, { agents: [registered], options: fastLeases })
    expect((await followAll(taker, run.id)).at(-1)).toMatchObject({ type: 'run_interrupted', error: lostWithItsAgent })
    expect(registered.asked).toEqual([])
  })

  it('A retry with an inline agent answers the prompt of an interrupted run', async () => {
    await using database = await openDatabase()
    await using lost = openCrashableEngine(database, { agents: [echoAgent()], options: fastLeases })
    const run = await lost.engine.runs.start(ada, inputOf('first'), { agent: manualAgent({ id: 'own' }) })
    await lost.crash()
    await using taker = openEngine(database, { agents: [echoAgent()], options: fastLeases })
    await followAll(taker, run.id)
    const without = taker.runs.retry(ada, { runId: run.id, newRunId: crypto.randomUUID() })
    await expect(without).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' })
    const retry = { runId: run.id, newRunId: crypto.randomUUID() }
    const again = await taker.runs.retry(ada, retry, { agent: echoAgent({ id: 'own' }) })
    expect(textOf(answerFrom(await followAll(taker, again.id)).content)).toBe('re: first')
  })

  it('A process that drains releases the run of an inline agent, and another one ends it as interrupted at once', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const leaving = openEngine(database, { agents: [echoAgent()], options: fastLeases })
    await using staying = openEngine(database, { agents: [namesake()], options: fastLeases })
    const run = await leaving.runs.start(ada, inputOf('first'), { agent: sayingHalf(gate) })
    await vi.waitFor(() => expect(leaving.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await leaving.drain({ graceMs: 1 })
    await leaving.close()
    expect((await followAll(staying, run.id)).at(-1)).toMatchObject({
      type: 'run_interrupted',
      error: lostWithItsAgent,
    })
  })
})

describe('in the queue', () => {
  it('Runs of inline agents wait for their turn like others, and each is answered by its own', async () => {
    await using test = await openBusy()
    const { engine, database, gate } = test
    const own = [echoAgent({ id: 'own' }), echoAgent({ id: 'own' })] as const
    const queued = await Promise.all(
      own.map(async (one, at) => {
        await vi.waitFor(async () => expect(await queueOf(database)).toHaveLength(at), waitOptions)
        return await engine.runs.start(ada, { ...inputOf(`own ${at}`), whenBusy: 'queue' }, { agent: one })
      }),
    )
    gate.release()
    for (const { id } of queued) expect((await followAll(engine, id)).at(-1)?.type).toBe('run_completed')
    expect(own.map(({ asked }) => asked)).toEqual([['own 0'], ['own 1']])
    expect(promptsOf((await settled(engine, database)).messages)).toEqual(['first', 'own 0', 'own 1'])
  })

  it('A run of an inline agent whose turn the process learns of twice asks its agent once', async () => {
    await using database = await openDatabase()
    const [middle, late] = [createGate(), createGate()]
    const { runRepository } = database.storage
    const lateReads: RunRepository = {
      ...runRepository,
      async findOwnedRun(...run) {
        const owned = await runRepository.findOwnedRun(...run)
        await late.pass()
        return owned
      },
    }
    await using engine = openEngine(database, {
      agents: [echoAgent({ gate: middle })],
      options: fastLeases,
      wrap: () => ({ runRepository: lateReads }),
    })
    await engine.runs.start(ada, inputOf('first'))
    await middle.reached()
    const [slow, own] = [createGate(), echoAgent({ id: 'own' })]
    const held = agent({
      id: 'own',
      async *stream(request, signal) {
        await slow.pass(signal)
        yield* own.stream(request, signal)
      },
    })
    const queued = await engine.runs.start(ada, { ...inputOf('own'), whenBusy: 'queue' }, { agent: held })
    middle.open()
    // The end of the run before has begun it, and the reader of its log has seen it begin.
    await Promise.all([slow.reached(), late.reached()])
    slow.release()
    await followAll(engine, queued.id)
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
    late.release()
    await settled(engine, database)
    const after = await engine.runs.start(ada, inputOf('after'))
    await followAll(engine, after.id)
    expect(own.asked).toEqual(['own'])
    expect(engine.stats().runsStarted).toBe(3)
  })

  it('A run of an inline agent whose turn comes in another process is answered by the process that has the agent', async () => {
    await using test = await openBusy({ engines: 2 })
    const { engine, other, gate, database } = test
    const own = echoAgent({ id: 'own' })
    const queued = await other.runs.start(ada, { ...inputOf('mine'), whenBusy: 'queue' }, { agent: own })
    gate.release()
    expect(typesOf(await followAll(engine, queued.id)).at(-1)).toBe('run_completed')
    expect(own.asked).toEqual(['mine'])
    expect(promptsOf((await settled(engine, database)).messages)).toEqual(['first', 'mine'])
  })

  it('A run of an inline agent whose process was lost while it waited ends as interrupted when its turn comes', async () => {
    await using test = await openBusy()
    const { engine, gate, database } = test
    await using lost = openCrashableEngine(database, { agents: [echoAgent()], options: fastLeases })
    const own = echoAgent({ id: 'own' })
    const queued = await lost.engine.runs.start(ada, { ...inputOf('lost'), whenBusy: 'queue' }, { agent: own })
    await lost.crash()
    gate.release()
    await vi.waitFor(async () => expect((await engine.runs.get(ada, queued.id)).status).toBe('running'), waitOptions)
    await expireLeases(database)
    expect((await followAll(engine, queued.id)).at(-1)).toMatchObject({
      type: 'run_interrupted',
      error: lostWithItsAgent,
    })
    expect(own.asked).toEqual([])
    const last = (await history(engine)).at(-1)
    expect(last).toMatchObject({ status: 'interrupted', content: [] })
  })

  it('A run of an inline agent that is cancelled while it waits never reaches its agent', async () => {
    await using test = await openBusy()
    const own = echoAgent({ id: 'own' })
    const { engine, gate, database } = test
    const queued = await engine.runs.start(ada, { ...inputOf('never'), whenBusy: 'queue' }, { agent: own })
    await engine.runs.cancel(ada, queued.id)
    gate.release()
    await settled(engine, database)
    expect(own.asked).toEqual([])
  })
})

function typesOf(events: readonly RunEvent[]): string[] {
  return events.map(({ type }) => type)
}
