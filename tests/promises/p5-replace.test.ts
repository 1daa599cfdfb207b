/** P5, `whenBusy: "replace"`: all before it are cancelled, durably; what was said is kept; the last to come is the one that stays. */
import { isTerminalStatus, textOf } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions } from '../support/follow.ts'
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

/** Resolves when all runs of the session but one have ended: the intents to cancel have arrived. */
async function oneIsLeft(engine: Engine): Promise<void> {
  await vi.waitFor(async () => {
    const { items } = await engine.runs.list(ada, sessionId, { limit: 100 })
    expect(items.filter((run) => !isTerminalStatus(run.status))).toHaveLength(1)
  }, waitOptions)
}

describe('a prompt that replaces', () => {
  it('a prompt that replaces starts at once in an idle session', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    expect((await start(engine, 'hello', { whenBusy: 'replace' })).status).toBe('running')
    expect(promptsOf((await settled(engine, database)).messages)).toEqual(['hello'])
  })

  it.each(['engine', 'other'] as const)(
    'a prompt that replaces the active run cancels it and comes next, asked on the %s engine',
    async (where) => {
      await using busy = await openBusy({ engines: 2 })
      const run = await start(busy[where], 'instead', { whenBusy: 'replace' })
      expect(run.status).toBe('queued')
      const events = await followAll(busy.other, busy.first.id)
      expect(events.at(-1)?.type).toBe('run_cancelled')
      expect(answerFrom(events)).toMatchObject({ status: 'cancelled', messageId: busy.first.messageId })
      const partial = await answerMessage(busy.engine, busy.first.id)
      expect([partial.status, textOf(partial.content)]).toEqual(['cancelled', 're: '])
      busy.gate.open()
      expect(answerFrom(await followAll(busy.other, run.id)).status).toBe('completed')
      const { messages } = await settled(busy.engine, busy.database)
      expect(promptsOf(messages)).toEqual(['first', 'instead'])
    },
  )

  it('a prompt that replaces cancels the queued prompts, which are never asked', async () => {
    await using busy = await openBusy({ engines: 2 })
    const waiting = []
    for (const prompt of names(3)) waiting.push(await start(busy.engine, prompt, { whenBusy: 'queue' }))
    const following = waiting.map((run) => followAll(busy.other, run.id))
    await start(busy.engine, 'instead', { whenBusy: 'replace' })
    for (const events of await Promise.all(following)) {
      expect(events.map((event) => event.type)).toEqual(['run_queued', 'run_cancelled'])
    }
    const last = await start(busy.engine, 'and then', { whenBusy: 'queue' })
    busy.gate.open()
    await followAll(busy.engine, last.id)
    const { messages } = await settled(busy.engine, busy.database)
    expect(promptsOf(messages)).toEqual(['first', 'instead', 'and then'])
  })

  it('of two prompts that replace at once one is left', async () => {
    await using busy = await openBusy({ engines: 2 })
    const runs = await Promise.all([
      startConcurrently(busy.engine, 'one', { whenBusy: 'replace' }),
      startConcurrently(busy.other, 'two', { whenBusy: 'replace' }),
    ])
    await oneIsLeft(busy.engine)
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    const ends = await Promise.all(runs.map(async (run) => (await busy.engine.runs.get(ada, run.id)).status))
    expect(ends.toSorted()).toEqual(['cancelled', 'completed'])
    expect(promptsOf(messages).at(-1)).toBe(ends[0] === 'completed' ? 'one' : 'two')
    expect((await busy.engine.runs.get(ada, busy.first.id)).status).toBe('cancelled')
  })

  it('of sixteen prompts that replace at once one is left, and every run ends', async () => {
    await using busy = await openBusy({ engines: 2 })
    const runs = await Promise.all(
      names(16).map((prompt, at) =>
        startConcurrently(at % 2 ? busy.engine : busy.other, prompt, { whenBusy: 'replace' }),
      ),
    )
    await oneIsLeft(busy.engine)
    busy.gate.open()
    const { messages } = await settled(busy.engine, busy.database)
    const ends = await Promise.all(runs.map(async (run) => await busy.engine.runs.get(ada, run.id)))
    expect(ends.filter((run) => run.status === 'completed')).toHaveLength(1)
    expect(messages.at(-1)?.status).toBe('completed')
    // The others that are in the history were begun and stopped; those that were not left nothing.
    for (const run of ends) {
      const asked = messages.filter((message) => message.runId === run.id)
      expect(asked).toHaveLength(run.status === 'completed' || (run.lastSeq ?? 0) > 2 ? 2 : 0)
    }
  })

  it('a prompt that replaces stops a promoted run that its process does not know of yet', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    await using engine = openEngine(database, {
      agents: [echoAgent({ gate })],
      options: fastLeases,
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

  it('a prompt that replaces the run of a lost process is asked, and the stored part is kept', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const dying = openEngine(database, { agents: [echoAgent({ gate })], options: fastLeases })
    await start(dying, 'first')
    await vi.waitFor(() => expect(dying.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await using other = openEngine(database, { agents: [echoAgent()], options: fastLeases })
    const [run] = await Promise.all([start(other, 'instead', { whenBusy: 'replace' }), dying.close()])
    expect(answerFrom(await followAll(other, run.id)).status).toBe('completed')
    const { messages } = await settled(other, database)
    expect(promptsOf(messages)).toEqual(['first', 'instead'])
    expect(textOf(messages[1]?.content ?? [])).toBe('re: ')
  })

  it('a prompt that replaces changes nothing when it is repeated', async () => {
    await using busy = await openBusy({ engines: 2 })
    const run = await start(busy.engine, 'instead', { whenBusy: 'replace' })
    busy.gate.open()
    await followAll(busy.engine, run.id)
    const after = await start(busy.engine, 'goes on', { whenBusy: 'queue' })
    await start(busy.other, 'instead', { whenBusy: 'replace', runId: run.id })
    expect(answerFrom(await followAll(busy.engine, after.id)).status).toBe('completed')
    expect(promptsOf(await history(busy.engine))).toEqual(['first', 'instead', 'goes on'])
  })
})
