/** P5, `whenBusy: "queue"`: prompts wait in the order of their admission, none overtakes another, and each is asked once. */
import { textOf } from '@verbatim/core'
import type { Run } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, answerFrom, followAll, followBatches, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import {
  echoAgent,
  ended,
  fastLeases,
  history,
  holdEnds,
  names,
  openBusy,
  promptsOf,
  queueOf,
  sessionId,
  settled,
  start,
  startConcurrently,
} from '../support/queue.ts'

describe('a prompt that may wait', () => {
  it('a prompt that may wait starts at once in an idle session', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    const run = await start(engine, 'hello', { whenBusy: 'queue' })
    expect(run.status).toBe('running')
    const events = await followAll(engine, run.id)
    expect(events[0]?.type).toBe('run_started')
    expect(answerFrom(events).status).toBe('completed')
    await settled(engine, database)
  })

  it('a queued prompt has no message yet, and its turn comes when the run before it has ended', async () => {
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

  it('a queued prompt waits its turn after nine others', async () => {
    await using busy = await openBusy()
    const prompts = names(10)
    for (const prompt of prompts) await start(busy.engine, prompt, { whenBusy: 'queue' })
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', ...prompts])
    expect(busy.agent.asked).toEqual(['first', ...prompts])
  })

  it('queued prompts keep their places when 32 come at once from three processes', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const options = { ...fastLeases, maxQueuedRuns: 40 }
    // Each with a storage of its own, as processes have: what they share is the database.
    const { client, databaseName } = database
    const wrap = () => createMongoStorage({ client, databaseName, clock: systemClock })
    const agents = [echoAgent({ gate })]
    await using one = openEngine(database, { agents, options, wrap })
    await using two = openEngine(database, { agents, options, wrap })
    await using three = openEngine(database, { agents, options, wrap })
    const engines = [one, two, three]
    const runs = await Promise.all(
      names(32).map((prompt, at) => startConcurrently(engines[at % 3] ?? one, prompt, { whenBusy: 'queue' })),
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
  it('a queue that is full refuses the next prompt until a run has ended', async () => {
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

  it('a queue never holds more than its bound, however many prompts come at once', async () => {
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

  it('neither a start that does not wait nor an appended message overtakes the queue', async () => {
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

  it('no start overtakes the queue at the end of a run, because the next run is promoted in the same step', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    await using engine = openEngine(database, {
      agents: [echoAgent({ gate })],
      options: fastLeases,
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

  it('no start of a crowd that tries all the time overtakes the queue', async () => {
    await using database = await openDatabase()
    const agent = echoAgent()
    await using engine = openEngine(database, { agents: [agent], options: { ...fastLeases, maxQueuedRuns: 20 } })
    await using other = openEngine(database, { agents: [agent], options: fastLeases })
    const waiting: Run[] = []
    const jumps: { runId: string; place: number }[] = []
    let isOver = false
    const jump = async () => {
      while (!isOver) {
        const place = waiting.length
        const run = await start(other, 'jump').catch(() => undefined)
        if (run !== undefined) jumps.push({ runId: run.id, place })
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
    // A prompt that was admitted before a jump was tried is asked before it.
    const order = messages.filter((message) => message.role === 'user').map((message) => message.runId)
    for (const { runId, place } of jumps) {
      for (const run of waiting.slice(0, place)) expect(order.indexOf(run.id)).toBeLessThan(order.indexOf(runId))
    }
  })
})

describe('following a queued run', () => {
  it('a follow of a queued run shows all of it, from before its start to its end, on any process', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fastLeases })
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

  it('the cursors of a queued run stay valid when its events are archived', async () => {
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
  it('a start that is repeated is the same run while it waits, while it runs and afterwards', async () => {
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

  it('a start that is repeated eight times at once is one place in the queue', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fastLeases })
    const runId = crypto.randomUUID()
    const engines = [busy.engine, other]
    const runs = await Promise.all(
      names(8).map((_, at) => startConcurrently(engines[at % 2] ?? other, 'second', { whenBusy: 'queue', runId })),
    )
    expect(new Set(runs.map((run) => `${run.id} ${run.status}`))).toEqual(new Set([`${runId} queued`]))
    expect(await queueOf(busy.database)).toEqual([runId])
    busy.gate.open()
    expect(promptsOf((await settled(other, busy.database)).messages)).toEqual(['first', 'second'])
  })
})

describe('cancelling a run that waits', () => {
  it('a cancel of a queued run ends it at the next seq without a message, and the queue goes on', async () => {
    await using busy = await openBusy()
    await using other = openEngine(busy.database, { agents: [busy.agent], options: fastLeases })
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

  it('a cancel of a promoted run cancels a running run, even before its process learns of it', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    const agent = echoAgent({ gate })
    await using engine = openEngine(database, {
      agents: [agent],
      options: fastLeases,
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

  it('a cancel at the moment of the promotion has one outcome', async () => {
    await using database = await openDatabase()
    const agent = echoAgent()
    // A start in a busy session may be faster than an answer: nothing is refused here.
    const options = { ...fastLeases, maxQueuedRuns: 100 }
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
