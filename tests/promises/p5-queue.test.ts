/** P5, `whenBusy: "queue"`: prompts wait in the order of their admission, nobody overtakes, and each is asked once. */
import { textOf } from '@verbatim/core'
import type { Run } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, followBatches, waitOptions } from '../support/follow.ts'
import { createGate } from '../support/gate.ts'
import { expectIdle } from '../support/leaks.ts'
import {
  echoAgent,
  ended,
  history,
  holdEnds,
  names,
  promptsOf,
  queueOf,
  sessionId,
  settled,
  start,
  startConcurrently,
} from '../support/queue.ts'

const fast = { ...shortLeases, recoveryMs: 50 }

/** One engine whose agent waits in the middle of its first answer. */
async function openBusy(options = {}) {
  const database = await openDatabase()
  const gate = createGate()
  const agent = echoAgent({ gate })
  const engine = openEngine(database, { agents: [agent], options: { ...fast, ...options } })
  const first = await start(engine, 'first')
  await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
  return {
    database,
    gate,
    agent,
    engine,
    first,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

describe('a prompt that may wait', () => {
  it('begins at once in a session that is idle, like any other', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    const run = await start(engine, 'hello', { whenBusy: 'queue' })
    expect(run.status).toBe('running')
    const events = await followAll(engine, run.id)
    expect(events[0]?.type).toBe('run_started')
    expect(answerFrom(events).status).toBe('completed')
    await settled(engine, database)
  })

  it('is stored as queued, with no message yet, and its turn comes when the run before has ended', async () => {
    await using busy = await openBusy()
    const run = await start(busy.engine, 'second', { whenBusy: 'queue' })
    expect(run).toMatchObject({ status: 'queued', lastSeq: null, endedAt: null })
    expect(await busy.engine.runs.get(ada, run.id)).toEqual(run)
    expect(promptsOf(await history(busy.engine))).toEqual(['first'])
    busy.gate.open()
    const events = await followAll(busy.engine, run.id)
    expect(events.slice(0, 2).map((event) => event.type)).toEqual(['run_queued', 'run_started'])
    expect(answerFrom(events)).toMatchObject({ status: 'completed', messageId: run.messageId })
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'second'])
    await expectIdle(busy.engine)
  })

  it('waits its turn behind nine others', async () => {
    await using busy = await openBusy()
    const prompts = names(10)
    for (const prompt of prompts) await start(busy.engine, prompt, { whenBusy: 'queue' })
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', ...prompts])
    expect(busy.agent.asked).toEqual(['first', ...prompts])
  })

  it('keeps its place among 32 that come at once from three processes', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const options = { ...fast, maxQueuedRuns: 40 }
    // Each with a storage of its own, as processes have: what they share is the database.
    const { client, databaseName } = database
    const wrap = () => createMongoStorage({ client, databaseName, clock: systemClock })
    const agents = [echoAgent({ gate })]
    await using one = openEngine(database, { agents, options, wrap })
    await using two = openEngine(database, { agents, options, wrap })
    await using three = openEngine(database, { agents, options, wrap })
    const cores = [one, two, three]
    const runs = await Promise.all(
      names(32).map((prompt, at) => startConcurrently(cores[at % 3] ?? one, prompt, { whenBusy: 'queue' })),
    )
    const running = runs.filter((run) => run.status === 'running')
    expect(running).toHaveLength(1)
    const order = [running[0]?.id, ...(await queueOf(database))]
    expect(new Set(order)).toEqual(new Set(runs.map((run) => run.id)))
    expect(order).toHaveLength(32)
    gate.open()
    const { messages } = await settled(one, database)
    expect(messages.filter((message) => message.role === 'user').map((message) => message.runId)).toEqual(order)
    expect(new Set(messages.map((message) => message.status))).toEqual(new Set(['completed']))
  })
})

describe('the queue', () => {
  it('holds as many as it may and refuses the next, until one has ended', async () => {
    await using busy = await openBusy({ maxQueuedRuns: 3 })
    for (const prompt of names(3)) await start(busy.engine, prompt, { whenBusy: 'queue' })
    await expect(start(busy.engine, 'too many', { whenBusy: 'queue' })).rejects.toMatchObject({
      code: 'SESSION_BUSY',
      data: { activeRunId: busy.first.id, kind: 'queue_full' },
    })
    busy.gate.open()
    await vi.waitFor(async () => expect((await queueOf(busy.database)).length).toBeLessThan(3), waitOptions)
    await start(busy.engine, 'room again', { whenBusy: 'queue' })
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', ...names(3), 'room again'])
  })

  it('never holds more, however many come at once', async () => {
    await using busy = await openBusy()
    const outcomes = await Promise.allSettled(
      names(32).map((prompt) => startConcurrently(busy.engine, prompt, { whenBusy: 'queue' })),
    )
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused).toHaveLength(22)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'SESSION_BUSY' })
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    expect(messages).toHaveLength(22)
  })

  it('is not overtaken by a start that will not wait, nor by an appended message', async () => {
    await using busy = await openBusy()
    await start(busy.engine, 'second', { whenBusy: 'queue' })
    const inFront = { code: 'SESSION_BUSY', data: { activeRunId: busy.first.id } }
    await expect(start(busy.engine, 'jump')).rejects.toMatchObject(inFront)
    const append = { sessionId, role: 'user', content: 'jump' } as const
    await expect(busy.engine.messages.append(ada, append)).rejects.toMatchObject(inFront)
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'second'])
  })

  it('is not overtaken at the end of a run: the session goes to the next run in the same step', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    await using engine = openEngine(database, {
      agents: [echoAgent({ gate })],
      options: fast,
      wrap: (ports) => holdEnds(ports, ends),
    })
    const first = await start(engine, 'first')
    const second = await start(engine, 'second', { whenBusy: 'queue' })
    gate.open()
    await ended(engine, first)
    expect(await engine.runs.get(ada, second.id)).toMatchObject({ status: 'running' })
    await expect(start(engine, 'jump')).rejects.toMatchObject({
      code: 'SESSION_BUSY',
      data: { activeRunId: second.id },
    })
    expect((await start(engine, 'third', { whenBusy: 'queue' })).status).toBe('queued')
    ends.open()
    const { messages } = await settled(engine, database)
    expect(promptsOf(messages)).toEqual(['first', 'second', 'third'])
  })

  it('is not overtaken by anybody of a crowd that tries all the time', async () => {
    await using database = await openDatabase()
    const agent = echoAgent()
    await using engine = openEngine(database, { agents: [agent], options: { ...fast, maxQueuedRuns: 20 } })
    await using other = openEngine(database, { agents: [agent], options: fast })
    const waiting: Run[] = []
    const jumps: { runId: string; behind: number }[] = []
    let isOver = false
    const jump = async () => {
      while (!isOver) {
        const behind = waiting.length
        const run = await start(other, 'jump').catch(() => undefined)
        if (run !== undefined) jumps.push({ runId: run.id, behind })
      }
    }
    const crowd = [jump(), jump(), jump()]
    for (const prompt of names(20)) waiting.push(await startConcurrently(engine, prompt, { whenBusy: 'queue' }))
    for (const run of waiting) await followAll(engine, run.id)
    isOver = true
    await Promise.all(crowd)
    const { messages } = await settled(engine, database)
    expect(promptsOf(messages).filter((prompt) => prompt !== 'jump')).toEqual(names(20))
    expect(waiting.some((run) => run.status === 'queued')).toBe(true)
    // Whoever was admitted before a jump was tried is asked before it.
    const order = messages.filter((message) => message.role === 'user').map((message) => message.runId)
    for (const { runId, behind } of jumps) {
      for (const run of waiting.slice(0, behind)) expect(order.indexOf(run.id)).toBeLessThan(order.indexOf(runId))
    }
  })
})

describe('following a queued run', () => {
  it('from before it is started to its end shows all of it, here and at another process', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fast })
    const runId = crypto.randomUUID()
    const following = [followAll(busy.engine, runId), followAll(other, runId)]
    await start(busy.engine, 'second', { whenBusy: 'queue', runId: runId })
    const joined = await followBatches(other, runId, { after: 0, count: 1 })
    expect(joined.events.map((event) => event.type)).toEqual(['run_queued'])
    const resumed = followAll(other, runId, { after: 1 })
    busy.gate.open()
    const [here, there] = await Promise.all(following)
    expect(there).toEqual(here)
    expect([...joined.events, ...(await resumed)]).toEqual(here)
    expect(textOf(answerFrom(here ?? []).content)).toBe('re: second')
    expect(here?.map((event) => event.type).slice(0, 3)).toEqual(['run_queued', 'run_started', 'message_start'])
  })

  it('keeps its cursors when its events are archived', async () => {
    await using busy = await openBusy({ archiveDelayMs: 1 })
    const run = await start(busy.engine, 'second', { whenBusy: 'queue' })
    busy.gate.open()
    const events = await followAll(busy.engine, run.id)
    const archives = busy.database.client.db(busy.database.databaseName).collection('run_archives')
    await vi.waitFor(async () => expect(await archives.countDocuments()).toBe(2), waitOptions)
    for (let after = 0; after < events.length; after++) {
      expect(await followAll(busy.engine, run.id, { after })).toEqual(events.slice(after))
    }
  })
})

describe('a start that is repeated', () => {
  it('is the same run while it waits, while it runs and afterwards, whatever it says about waiting', async () => {
    await using busy = await openBusy()
    const run = await start(busy.engine, 'second', { whenBusy: 'queue' })
    for (const whenBusy of ['queue', 'reject', 'replace', undefined] as const) {
      expect(await start(busy.engine, 'second', { whenBusy, runId: run.id })).toEqual(run)
    }
    await expect(start(busy.engine, 'another', { whenBusy: 'queue', runId: run.id })).rejects.toMatchObject({
      code: 'RUN_ID_REUSED',
    })
    expect((await start(busy.engine, 'first', { whenBusy: 'replace', runId: busy.first.id })).status).toBe('running')
    busy.gate.open()
    await followAll(busy.engine, run.id)
    expect((await start(busy.engine, 'second', { whenBusy: 'replace', runId: run.id })).status).toBe('completed')
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'second'])
  })

  it('by eight at once is one place in the queue', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fast })
    const runId = crypto.randomUUID()
    const cores = [busy.engine, other]
    const runs = await Promise.all(
      names(8).map((_, at) => startConcurrently(cores[at % 2] ?? other, 'second', { whenBusy: 'queue', runId })),
    )
    expect(new Set(runs.map((run) => `${run.id} ${run.status}`))).toEqual(new Set([`${runId} queued`]))
    expect(await queueOf(busy.database)).toEqual([runId])
    busy.gate.open()
    expect(promptsOf((await settled(other, busy.database)).messages)).toEqual(['first', 'second'])
  })
})

describe('cancelling a run that waits', () => {
  it('ends it at the next seq without a message, for its followers too, and the queue goes on', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fast })
    const runs = []
    for (const prompt of names(3)) runs.push(await start(busy.engine, prompt, { whenBusy: 'queue' }))
    const runId = runs[1]?.id ?? ''
    const following = [followAll(busy.engine, runId), followAll(other, runId)]
    expect(await other.runs.cancel(ada, runId)).toEqual({ runId, status: 'cancelled', finalSeq: 2, hadEnded: false })
    const [here, there] = await Promise.all(following)
    expect(here?.map((event) => event.type)).toEqual(['run_queued', 'run_cancelled'])
    expect(there).toEqual(here)
    expect(answerFrom(here ?? [])).toMatchObject({ status: 'cancelled', messageId: null, content: [] })
    expect(await other.runs.cancel(ada, runId)).toEqual({ runId, status: 'cancelled', finalSeq: 2, hadEnded: true })
    expect((await start(other, 'prompt 2', { whenBusy: 'queue', runId: runId })).status).toBe('cancelled')
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'prompt 1', 'prompt 3'])
    const run = await busy.engine.runs.get(ada, runId)
    expect(run).toMatchObject({ status: 'cancelled', lastSeq: 2, error: null, metrics: { latencyMs: 0 } })
    await expect(busy.engine.messages.get(ada, sessionId, run.userMessageId)).rejects.toMatchObject({
      code: 'MESSAGE_NOT_FOUND',
    })
  })

  it('is the cancelling of a running one as soon as the run before has ended, even before its process learns of it', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    const agent = echoAgent({ gate })
    await using engine = openEngine(database, {
      agents: [agent],
      options: fast,
      wrap: (ports) => holdEnds(ports, ends),
    })
    const first = await start(engine, 'first')
    const second = await start(engine, 'second', { whenBusy: 'queue' })
    await start(engine, 'third', { whenBusy: 'queue' })
    gate.open()
    await ended(engine, first)
    gate.shut()
    const cancelling = engine.runs.cancel(ada, second.id)
    const runs = database.client.db(database.databaseName).collection('runs')
    await vi.waitFor(
      async () => expect(await runs.countDocuments({ cancelRequestedAt: { $ne: null } })).toBe(1),
      waitOptions,
    )
    ends.open()
    expect(await cancelling).toMatchObject({ status: 'cancelled', hadEnded: false })
    gate.open()
    const { messages } = await settled(engine, database)
    expect(promptsOf(messages)).toEqual(['first', 'second', 'third'])
    expect(messages.map(({ status }) => status).filter((status) => status !== 'completed')).toEqual(['cancelled'])
  })

  it('at the moment when its turn comes has one outcome', async () => {
    await using database = await openDatabase()
    const agent = echoAgent()
    // A start in a busy session may be faster than an answer: nothing is refused here.
    const options = { ...fast, maxQueuedRuns: 100 }
    await using engine = openEngine(database, { agents: [agent], options })
    await using other = openEngine(database, { agents: [agent], options })
    const outcomes = new Map<string, { status: string; hasStarted: boolean }>()
    for (let round = 0; round < 12; round++) {
      await start(engine, `round ${round}`, { whenBusy: 'queue' })
      const run = await start(engine, `${round} is cancelled`, { whenBusy: 'queue' })
      const cancelled = await other.runs.cancel(ada, run.id)
      expect(cancelled.finalSeq).not.toBeNull()
      const events = await followAll(engine, run.id)
      expect(events).toHaveLength(cancelled.finalSeq ?? 0)
      outcomes.set(run.id, {
        status: cancelled.status,
        hasStarted: events.some((event) => event.type === 'run_started'),
      })
    }
    const { runs, messages } = await settled(engine, database)
    for (const run of runs) {
      const outcome = outcomes.get(run.id)
      if (outcome === undefined) continue
      const wasAsked = messages.some((message) => message.runId === run.id)
      expect({ status: run.status, hasStarted: wasAsked }).toEqual(outcome)
    }
  })
})
