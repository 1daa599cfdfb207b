/** P5, `whenBusy: "replace"`: all before it are cancelled, durably; what was said is kept; the last to come is the one that stays. */
import { isTerminalStatus, textOf } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions } from '../support/follow.ts'
import { createGate } from '../support/gate.ts'
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

/** Two engines whose agents say the beginning of an answer and then wait. */
async function openBusy() {
  const database = await openDatabase()
  const gate = createGate()
  const agent = echoAgent({ gate })
  const here = openEngine(database, { agents: [agent], options: fast })
  const there = openEngine(database, { agents: [agent], options: fast })
  const first = await start(here, 'first')
  await vi.waitFor(() => expect(here.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
  return {
    database,
    gate,
    here,
    there,
    first,
    async [Symbol.asyncDispose]() {
      await Promise.all([here.close(), there.close()])
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Resolves when all runs of the session but one have ended: the intents to cancel have arrived. */
async function oneIsLeft(engine: Engine): Promise<void> {
  await vi.waitFor(async () => {
    const { items } = await engine.runs.list(ada, sessionId, { limit: 100 })
    expect(items.filter((run) => !isTerminalStatus(run.status))).toHaveLength(1)
  }, waitOptions)
}

describe('a prompt that replaces', () => {
  it('an idle session is a prompt like any other', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    expect((await start(engine, 'hello', { whenBusy: 'replace' })).status).toBe('running')
    expect(promptsOf((await settled(engine, database)).messages)).toEqual(['hello'])
  })

  it.each(['here', 'there'] as const)('the active run cancels it and comes next, asked %s', async (where) => {
    await using busy = await openBusy()
    const run = await start(busy[where], 'instead', { whenBusy: 'replace' })
    expect(run.status).toBe('queued')
    const events = await followAll(busy.there, busy.first.id)
    expect(events.at(-1)?.type).toBe('run_cancelled')
    expect(answerFrom(events)).toMatchObject({ status: 'cancelled', messageId: busy.first.messageId })
    const partial = await answerMessage(busy.here, busy.first.id)
    expect([partial.status, textOf(partial.content)]).toEqual(['cancelled', 're: '])
    busy.gate.open()
    expect(answerFrom(await followAll(busy.there, run.id)).status).toBe('completed')
    const { messages } = await settled(busy.here, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'instead'])
  })

  it('replaces the prompts that wait as well, and they were never asked', async () => {
    await using busy = await openBusy()
    const waiting = []
    for (const prompt of names(3)) waiting.push(await start(busy.here, prompt, { whenBusy: 'queue' }))
    const following = waiting.map((run) => followAll(busy.there, run.id))
    await start(busy.here, 'instead', { whenBusy: 'replace' })
    for (const events of await Promise.all(following)) {
      expect(events.map((event) => event.type)).toEqual(['run_queued', 'run_cancelled'])
    }
    const last = await start(busy.here, 'and then', { whenBusy: 'queue' })
    busy.gate.open()
    await followAll(busy.here, last.id)
    const { messages } = await settled(busy.here, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'instead', 'and then'])
  })

  it('is itself replaced by the next: of two at once one is left', async () => {
    await using busy = await openBusy()
    const runs = await Promise.all([
      startConcurrently(busy.here, 'one', { whenBusy: 'replace' }),
      startConcurrently(busy.there, 'two', { whenBusy: 'replace' }),
    ])
    await oneIsLeft(busy.here)
    busy.gate.open()
    const { messages } = await settled(busy.here, busy.database)
    const ends = await Promise.all(runs.map(async (run) => (await busy.here.runs.get(ada, run.id)).status))
    expect(ends.toSorted()).toEqual(['cancelled', 'completed'])
    expect(promptsOf(messages).at(-1)).toBe(ends[0] === 'completed' ? 'one' : 'two')
    expect((await busy.here.runs.get(ada, busy.first.id)).status).toBe('cancelled')
  })

  it('leaves one of sixteen at once, and every run ends', async () => {
    await using busy = await openBusy()
    const runs = await Promise.all(
      names(16).map((prompt, at) =>
        startConcurrently(at % 2 ? busy.here : busy.there, prompt, { whenBusy: 'replace' }),
      ),
    )
    await oneIsLeft(busy.here)
    busy.gate.open()
    const { messages } = await settled(busy.here, busy.database)
    const ends = await Promise.all(runs.map(async (run) => await busy.here.runs.get(ada, run.id)))
    expect(ends.filter((run) => run.status === 'completed')).toHaveLength(1)
    expect(messages.at(-1)?.status).toBe('completed')
    // The others that are in the history were begun and stopped; those that were not left nothing.
    for (const run of ends) {
      const asked = messages.filter((message) => message.runId === run.id)
      expect(asked).toHaveLength(run.status === 'completed' || (run.lastSeq ?? 0) > 2 ? 2 : 0)
    }
  })

  it('stops a run that was promoted and that its process does not know of yet', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    await using engine = openEngine(database, {
      agents: [echoAgent({ gate })],
      options: fast,
      wrap: (ports) => holdEnds(ports, ends),
    })
    const first = await start(engine, 'first')
    const second = await start(engine, 'second', { whenBusy: 'queue' })
    const third = await start(engine, 'third', { whenBusy: 'queue' })
    gate.open()
    await ended(engine, first)
    gate.shut()
    const last = await start(engine, 'instead', { whenBusy: 'replace' })
    expect(await queueOf(database)).toEqual([last.id])
    ends.open()
    expect((await followAll(engine, second.id)).at(-1)?.type).toBe('run_cancelled')
    gate.open()
    const { messages } = await settled(engine, database)
    expect(promptsOf(messages)).toEqual(['first', 'second', 'instead'])
    for (const run of [second, third]) expect((await engine.runs.get(ada, run.id)).status).toBe('cancelled')
  })

  it('holds when the process of the active run is gone: what was stored is kept, and the prompt is asked', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const dying = openEngine(database, { agents: [echoAgent({ gate })], options: fast })
    await start(dying, 'first')
    await vi.waitFor(() => expect(dying.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await using other = openEngine(database, { agents: [echoAgent()], options: fast })
    const [run] = await Promise.all([start(other, 'instead', { whenBusy: 'replace' }), dying.close()])
    expect(answerFrom(await followAll(other, run.id)).status).toBe('completed')
    const { messages } = await settled(other, database)
    expect(promptsOf(messages)).toEqual(['first', 'instead'])
    expect(textOf(messages[1]?.content ?? [])).toBe('re: ')
  })

  it('changes nothing when it is repeated', async () => {
    await using busy = await openBusy()
    const run = await start(busy.here, 'instead', { whenBusy: 'replace' })
    busy.gate.open()
    await followAll(busy.here, run.id)
    const after = await start(busy.here, 'goes on', { whenBusy: 'queue' })
    await start(busy.there, 'instead', { whenBusy: 'replace', runId: run.id })
    expect(answerFrom(await followAll(busy.here, after.id)).status).toBe('completed')
    expect(promptsOf(await history(busy.here))).toEqual(['first', 'instead', 'goes on'])
  })
})
