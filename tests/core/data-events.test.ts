/** Data that agents and tools emit: in the log like any event, and the newest of each name and id in the message. */
import { emptyAnswer, isTerminalEvent, reduceEvents, textOf, toCursor } from '@verbatim/core'
import type { AgentEvent, JsonValue, RunEvent } from '@verbatim/core'
import type { Agent, AgentRequest, Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { answerOf, textDelta, turn } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { answerFrom, answerMessage, followAll, startRun, waitOptions } from '../support/follow.ts'

const [opening, closing] = [answerOf([]).slice(0, 2), answerOf([]).slice(2)]

/** Says what `emits` does, within an answer of one text block. */
function emitter(
  emits: (request: AgentRequest, signal: AbortSignal) => AsyncIterable<AgentEvent> | Promise<void>,
  more: Partial<Agent> = {},
): Agent {
  return {
    id: 'emitter',
    ...more,
    async *stream(request, signal) {
      yield* opening
      const emitting = emits(request, signal)
      if (Symbol.asyncIterator in emitting) yield* emitting
      else await emitting
      yield* closing
    },
  }
}

function dataOf(events: readonly RunEvent[]) {
  return events.flatMap((event) => (event.type === 'data' ? [event] : []))
}

async function ended(engine: Engine) {
  const runId = await startRun(engine)
  const events = await followAll(engine, runId)
  return { runId, events, data: dataOf(events), end: events.at(-1), message: await answerMessage(engine, runId) }
}

describe('data of an agent with schemas', () => {
  const data = { progress: z.object({ done: z.int(), total: z.int().default(9) }) }

  it('what the schema answers is in the log, and what does not fit it or has another name is refused', async () => {
    const refused: unknown[] = []
    const agent = emitter(
      async ({ emit }) => {
        await emit('progress', { done: 1, secret: 'x' })
        for (const [name, value] of [
          ['progress', { done: 'two' }],
          ['progres', { done: 2 }],
          ['toString', { done: 3 }],
        ] as const) {
          await emit(name, value).catch((error: unknown) => refused.push(error))
        }
      },
      { data },
    )
    await using test = await openOne({ agents: [agent] })
    const { data: told, message } = await ended(test.engine)
    expect(told.map((event) => event.data)).toEqual([{ done: 1, total: 9 }])
    expect(message.data).toEqual([{ name: 'progress', id: null, data: { done: 1, total: 9 } }])
    expect(refused).toMatchObject([
      { code: 'INVALID_INPUT', data: { field: 'data.done' } },
      { code: 'INVALID_INPUT', data: { field: 'name' } },
      { code: 'INVALID_INPUT', data: { field: 'name' } },
    ])
  })

  it('a run that yields data which does not fit fails', async () => {
    const agent = emitter(
      async function* () {
        yield { type: 'data', name: 'progress', data: { done: 'two' } }
      },
      { data },
    )
    await using test = await openOne({ agents: [agent] })
    const { end, message } = await ended(test.engine)
    expect(end).toMatchObject({ type: 'run_failed', error: { code: 'INVALID_INPUT', data: { field: 'data.done' } } })
    expect(message.data).toEqual([])
  })
})

describe('data of an agent', () => {
  it('what an agent emits and what it yields are in the log in the order of both, and the message keeps the newest', async () => {
    const agent = emitter(async function* ({ emit }) {
      await emit('progress', { done: 1 }, { id: 'a' })
      yield textDelta('one ')
      yield { type: 'data', name: 'progress', data: { done: 2 }, id: 'a' }
      await emit('progress', { done: 1 }, { id: 'b' })
      yield textDelta('two')
      await emit('note', 'n')
      await emit('progress', [3], { id: 'a' })
    })
    await using test = await openOne({ agents: [agent] })
    const { events, message, runId } = await ended(test.engine)
    const told = events.flatMap((event): unknown[] => {
      if (event.type === 'data') return [[event.name, event.id, event.data]]
      return event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? [event.delta.text] : []
    })
    expect(told).toEqual([
      ['progress', 'a', { done: 1 }],
      'one ',
      ['progress', 'a', { done: 2 }],
      ['progress', 'b', { done: 1 }],
      'two',
      ['note', undefined, 'n'],
      ['progress', 'a', [3]],
    ])
    expect(message.data).toEqual([
      { name: 'progress', id: 'a', data: [3] },
      { name: 'progress', id: 'b', data: { done: 1 } },
      { name: 'note', id: null, data: 'n' },
    ])
    expect(answerFrom(events).data).toEqual(message.data)
    expect(textOf(message.content)).toBe('one two')
    for (let after = 0; after < events.length; after++) {
      expect(await followAll(test.engine, runId, { after })).toEqual(events.slice(after))
    }
  })

  it('a tool that runs long streams its progress: a follower sees it while the agent yields nothing', async () => {
    const gate = createGate()
    const agent = emitter(async ({ emit }, signal) => {
      for (let done = 1; done <= 3; done++) {
        await emit('progress', { done })
        await gate.pass(signal)
      }
    })
    await using test = await openOne({ agents: [agent] })
    const runId = await startRun(test.engine)
    const seen: JsonValue[] = []
    await followAll(test.engine, runId, {
      onBatch: ({ events }) => {
        for (const { data } of dataOf(events)) {
          seen.push(data)
          gate.release()
        }
      },
    })
    expect(seen).toEqual([{ done: 1 }, { done: 2 }, { done: 3 }])
  })

  it('no follower sees data that is not stored', async () => {
    const agent = emitter(async ({ emit }) => {
      for (let at = 0; at < 50; at++) {
        await emit('progress', at)
        await turn()
      }
    })
    await using test = await openOne({ agents: [agent] })
    const { client, databaseName } = test.database
    const log = client.db(databaseName).collection<{ e: { type: string }[] }>('run_events')
    let seen = 0
    await followAll(test.engine, await startRun(test.engine), {
      async onBatch({ events }) {
        seen += dataOf(events).length
        const entries = await log.find({}, { readConcern: { level: 'majority' } }).toArray()
        const stored = entries.flatMap(({ e }) => e).filter(({ type }) => type === 'data').length
        expect(stored).toBeGreaterThanOrEqual(seen)
      },
    })
    expect(seen).toBe(50)
  })

  it('data keeps a run alive whose agent yields nothing for longer than its idle time', async () => {
    const agent = emitter(
      async ({ emit }) => {
        const until = performance.now() + 900
        while (performance.now() < until) {
          await emit('progress', 'still here')
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
      },
      { timeouts: { idleMs: 400, firstTokenMs: 400 } },
    )
    await using test = await openOne({ agents: [agent] })
    const { end } = await ended(test.engine)
    expect(end?.type).toBe('run_completed')
  })

  it('an agent may change an object after it has emitted it, and the log has each state', async () => {
    const agent = emitter(async function* ({ emit }) {
      const state = { done: 0, parts: ['a'] }
      for (; state.done < 4; state.done++) {
        if (state.done % 2 === 0) void emit('progress', state)
        else yield { type: 'data', name: 'progress', data: state }
        state.parts.push('b')
      }
    })
    await using test = await openOne({ agents: [agent] })
    const { data } = await ended(test.engine)
    expect(data.map((event) => event.data)).toEqual([
      { done: 0, parts: ['a'] },
      { done: 1, parts: ['a', 'b'] },
      { done: 2, parts: ['a', 'b', 'b'] },
      { done: 3, parts: ['a', 'b', 'b', 'b'] },
    ])
  })

  it('data between the halves of a character leaves the character whole', async () => {
    const [high, low] = ['\u{1f333}'.slice(0, 1), '\u{1f333}'.slice(1)]
    const agent = emitter(async function* () {
      yield textDelta(`tree ${high}`)
      yield { type: 'data', name: 'note', data: [`half ${high}`, { [`\u{1f333}`]: '\u{1f333}' }] }
      yield textDelta(low)
    })
    await using test = await openOne({ agents: [agent] })
    const { message } = await ended(test.engine)
    expect(textOf(message.content)).toBe('tree \u{1f333}')
    expect(message.data).toEqual([{ name: 'note', id: null, data: ['half \ufffd', { '\u{1f333}': '\u{1f333}' }] }])
  })

  it('odd keys and names come back from the log, the archive and the message as they were emitted', async () => {
    const odd: JsonValue = { _bsontype: 'ObjectId', 'a.b': [1, [2]], $set: { '': null }, ['a\0b']: '\0' }
    await using test = await openOne({
      agents: [emitter(async ({ emit }) => await emit('odd', odd))],
      options: { archiveDelayMs: 1 },
    })
    const { data, message, runId, events } = await ended(test.engine)
    expect([data[0]?.data, message.data[0]?.data]).toEqual([odd, odd])
    const archives = test.database.client.db(test.database.databaseName).collection('run_archives')
    await vi.waitFor(async () => expect(await archives.countDocuments()).toBe(1), waitOptions)
    await using other = openEngine(test.database, { agents: [emitter(() => Promise.resolve())] })
    expect(await followAll(other, runId)).toEqual(events)
  })
})

describe('data of a run that is lost', () => {
  it('data that was stored is kept by the interrupted message, and the run that continues has its own', async () => {
    await using database = await openDatabase()
    const lost = emitter(
      async ({ emit }, signal) => {
        await emit('progress', { done: 1 }, { id: 'a' })
        await emit('progress', { done: 2 }, { id: 'a' })
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))))
      },
      { onCrash: 'continue' },
    )
    await using first = openCrashableEngine(database, { agents: [lost], options: shortLeases })
    const runId = await startRun(first.engine)
    await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBe(4), waitOptions)
    await first.crash()
    const next = emitter(async ({ emit }) => await emit('progress', { done: 3 }, { id: 'a' }), { onCrash: 'continue' })
    await using engine = openEngine(database, { agents: [next], options: shortLeases })
    const end = (await followAll(engine, runId)).find(isTerminalEvent)
    const { continuedBy = '' } = end?.type === 'run_interrupted' ? end : {}
    await followAll(engine, continuedBy)
    expect((await answerMessage(engine, runId)).data).toEqual([{ name: 'progress', id: 'a', data: { done: 2 } }])
    expect((await answerMessage(engine, continuedBy)).data).toEqual([{ name: 'progress', id: 'a', data: { done: 3 } }])
  })

  it('data after the last word of the model leaves the answer whole: the run is not continued', async () => {
    await using database = await openDatabase()
    const agent: Agent = {
      id: 'emitter',
      onCrash: 'continue',
      async *stream({ emit }, signal) {
        yield* answerOf(['All of it.'])
        await emit('note', 'after')
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))))
      },
    }
    await using first = openCrashableEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(first.engine)
    await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBe(7), waitOptions)
    await first.crash()
    await using engine = openEngine(database, { agents: [agent], options: shortLeases })
    const end = (await followAll(engine, runId)).at(-1)
    expect(end).toMatchObject({ type: 'run_interrupted', error: { data: { kind: 'whole' } } })
    expect(end).not.toHaveProperty('continuedBy')
  })
})

/** An agent that emits `data` and keeps the refusals; it goes on after each. */
async function refusalOf(emit: (request: AgentRequest) => Promise<void>) {
  const refusals: unknown[] = []
  const agent = emitter(async (request) => await emit(request).catch((error: unknown) => void refusals.push(error)))
  await using test = await openOne({ agents: [agent] })
  const { data, end, message } = await ended(test.engine)
  return { refusals, data, end, message }
}

const cycle: { self?: unknown } = {}
cycle.self = cycle
const misfits: readonly { what: string; name?: string; data?: unknown; id?: string; field: string }[] = [
  { what: 'a name with a space', name: 'my progress', field: 'name' },
  { what: 'an empty name', name: '', field: 'name' },
  { what: 'a name over 64 letters', name: 'n'.repeat(65), field: 'name' },
  { what: 'an empty id', id: '', field: 'id' },
  { what: 'an id over 128 characters', id: 'i'.repeat(129), field: 'id' },
  { what: 'data that is undefined', data: undefined, field: 'data' },
  { what: 'data with a cycle', data: cycle, field: 'data' },
  { what: 'a bigint', data: 1n, field: 'data' },
  { what: 'data that is nested 300 deep', data: JSON.parse('['.repeat(300) + ']'.repeat(300)), field: 'data' },
]

describe('data that a run may not emit', () => {
  it.each(misfits)('$what is refused with a typed error, is not stored, and the agent may go on', async (misfit) => {
    const { name = 'progress', id, field } = misfit
    const data = 'data' in misfit ? misfit.data : 1
    const outcome = await refusalOf(async ({ emit }) => await emit(name, data as JsonValue, { id })) // as a JavaScript agent may
    expect(outcome.refusals).toMatchObject([{ code: 'INVALID_INPUT', data: { field } }])
    expect(outcome).toMatchObject({ data: [], end: { type: 'run_completed' }, message: { data: [] } })
  })

  it('of 10,000 data events a run stores 5,000, and the agent receives a typed error', async () => {
    const { refusals, data, message, end } = await refusalOf(async ({ emit }) => {
      for (let at = 1; at <= 10_000; at++) await emit('progress', at, { id: `${at % 7}` })
    })
    expect(refusals).toMatchObject([{ code: 'TOO_MUCH_DATA', data: { kind: 'events', maxEvents: 5_000 } }])
    expect(data.map((event) => event.data)).toEqual(Array.from({ length: 5_000 }, (_, at) => at + 1))
    expect(message.data).toHaveLength(7)
    expect(end?.type).toBe('run_completed')
  }, 60_000)

  it('an agent that yields 10,000 data events of as many ids fails with that error, and keeps what was stored', async () => {
    const agent = emitter(async function* () {
      yield textDelta('so far')
      for (let at = 1; at <= 10_000; at++) yield { type: 'data', name: 'row', data: { at }, id: `${at}` }
    })
    await using test = await openOne({ agents: [agent] })
    const { end, message, data } = await ended(test.engine)
    expect(end).toMatchObject({ type: 'run_failed', error: { code: 'TOO_MUCH_DATA' } })
    expect(data).toHaveLength(5_000)
    expect(message).toMatchObject({ status: 'failed', content: [{ type: 'text', text: 'so far' }] })
    expect(message.data).toHaveLength(5_000)
  }, 60_000)

  it('a run emits 1 MiB at most, however few events it is', async () => {
    const text = 'x'.repeat(400 * 1024)
    const { refusals, data } = await refusalOf(async ({ emit }) => {
      for (let at = 0; at < 3; at++) await emit('blob', text)
    })
    expect(refusals).toMatchObject([{ code: 'TOO_MUCH_DATA', data: { kind: 'bytes', maxBytes: 1024 * 1024 } }])
    expect(data).toHaveLength(2)
  })

  it('what is emitted after the end of a run is refused, and no one need wait for it', async () => {
    let late: AgentRequest['emit'] | undefined
    const agent = emitter(async ({ emit }) => {
      late = emit
      await emit('progress', 1)
    })
    await using test = await openOne({ agents: [agent] })
    const { data, runId } = await ended(test.engine)
    expect(data).toHaveLength(1)
    void late?.('progress', 2) // a rejection that nothing handles would fail this test
    await expect(late?.('progress', 3)).rejects.toMatchObject({ code: 'RUN_FENCED' })
    expect(dataOf(await followAll(test.engine, runId))).toHaveLength(1)
  })
})

it('an agent that emits faster than the database stores waits: pending bytes stay bounded', async () => {
  const maxPendingBytes = 16 * 1024
  let most = 0
  const engines: Engine[] = []
  const agent = emitter(async ({ emit }) => {
    for (let at = 0; at < 500; at++) {
      await emit('progress', 'y'.repeat(1_000))
      most = Math.max(most, engines[0]?.stats().pendingBytes ?? 0)
    }
  })
  await using test = await openOne({ agents: [agent], options: { maxPendingBytes } })
  engines.push(test.engine)
  const { data } = await ended(test.engine)
  expect(data).toHaveLength(500)
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThan(maxPendingBytes + 4_000)
})

it('the reducer applies data once, over batches that overlap', () => {
  const event = (data: JsonValue, id?: string): RunEvent => ({
    type: 'data',
    name: 'p',
    data,
    ...(id === undefined ? {} : { id }),
  })
  const events = [event(1, 'a'), event(2), event(3, 'a'), event(4, 'b')]
  let answer = emptyAnswer
  for (const firstSeq of [1, 1, 2, 3])
    answer = reduceEvents(answer, { firstSeq, events: events.slice(firstSeq - 1, firstSeq + 1) })
  answer = reduceEvents(answer, { firstSeq: 4, events: events.slice(3) })
  expect(answer.data).toEqual([
    { name: 'p', id: 'a', data: 3 },
    { name: 'p', id: null, data: 2 },
    { name: 'p', id: 'b', data: 4 },
  ])
  expect(toCursor('r', answer.lastSeq)).toBe('r:4')
})
