/** P3 and P5 for queued prompts: whichever process dies at whatever step, each is asked once, in order, and every run ends. */
import { VerbatimError } from '@verbatim/core'
import type { RunRepository, Engine } from '@verbatim/core/server'
import { systemClock } from '@verbatim/core/server'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { MongoClient, MongoNetworkError } from 'mongodb'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, inject, it, vi } from 'vitest'
import { expireLeases, openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions } from '../support/follow.ts'
import {
  echoAgent,
  ended,
  fastLeases,
  history,
  holdEnds,
  names,
  promptsOf,
  queueOf,
  settled,
  start,
} from '../support/queue.ts'

/**
 * A repository of a process that dies right after `step` was committed: its answer never comes. The one that dies with a
 * claim has not learned of the run that it promoted, so that it has something to claim.
 */
function dyingAfter(repository: RunRepository, step: 'finishRun' | 'claimExpiredLease') {
  const died = Promise.withResolvers<void>()
  const deadRepository: RunRepository = {
    ...repository,
    async finishRun(...args) {
      const outcome = await repository.finishRun(...args)
      return outcome.type === 'stored' ? { ...outcome, promoted: undefined } : outcome
    },
    async [step](...args: never[]) {
      const call: (...given: never[]) => Promise<unknown> = repository[step]
      if ((await call(...args)) === undefined) return undefined
      died.resolve()
      throw new VerbatimError('UNAVAILABLE')
    },
  }
  return { deadRepository, died: died.promise }
}

describe('a restart', () => {
  it('after a restart ten queued prompts are asked in their order', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const first = openEngine(database, { agents: [echoAgent({ gate })], options: fastLeases })
    await start(first, 'first')
    await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
    for (const prompt of names(10)) await start(first, prompt, { whenBusy: 'queue' })
    await first.close()
    const agent = echoAgent()
    await using second = openEngine(database, { agents: [agent], options: fastLeases })
    const { runs, messages } = await settled(second, database)
    expect(promptsOf(messages)).toEqual(['first', ...names(10)])
    expect(agent.asked).toEqual(names(10))
    expect(runs.map((run) => run.status).toReversed()).toEqual(['interrupted', ...names(10).map(() => 'completed')])
  })

  it('restarts in the middle of the queue lose no prompt and double none', async () => {
    await using database = await openDatabase()
    const asked: string[] = []
    const open = () => {
      const agent = echoAgent()
      const engine = openEngine(database, { agents: [agent], options: fastLeases })
      return { engine, close: () => engine.close().then(() => asked.push(...agent.asked)) }
    }
    let process = open()
    const runs = []
    for (const prompt of names(10)) runs.push(await start(process.engine, prompt, { whenBusy: 'queue' }))
    for (const run of runs.filter((_, at) => at % 3 === 2)) {
      await followAll(process.engine, run.id)
      await process.close()
      process = open()
    }
    const { messages } = await settled(process.engine, database)
    await process.close()
    expect(promptsOf(messages)).toEqual(names(10))
    expect(asked).toEqual([...new Set(asked)])
  })
})

describe('a process that dies', () => {
  it.each(['finishRun', 'claimExpiredLease'] as const)(
    'a process that dies right after %s leaves the queue to other processes',
    async (step) => {
      await using database = await openDatabase()
      const gate = createGate()
      const { deadRepository, died } = dyingAfter(database.storage.runRepository, step)
      const slow = step === 'claimExpiredLease' ? {} : { recoveryMs: 60_000 } // it does nothing else before it is closed
      const dying = openEngine(database, {
        agents: [echoAgent({ gate })],
        options: { ...fastLeases, ...slow },
        wrap: () => ({ runRepository: deadRepository }),
      })
      const first = await start(dying, 'first')
      for (const prompt of names(3)) await start(dying, prompt, { whenBusy: 'queue' })
      gate.open()
      await followAll(dying, first.id)
      if (step === 'claimExpiredLease') await expireLeases(database)
      await died
      const closing = dying.close()
      await expireLeases(database)
      const agent = echoAgent()
      await using other = openEngine(database, { agents: [agent], options: fastLeases })
      const { runs, messages } = await settled(other, database)
      await closing
      expect(promptsOf(messages)).toEqual(['first', ...names(3)])
      expect(runs.map((run) => run.status)).toEqual(runs.map(() => 'completed'))
      // A run that has only begun is asked where it is taken over.
      expect(agent.asked).toEqual(names(3))
    },
  )

  it('a run that two processes drive is answered once', async () => {
    await using database = await openDatabase()
    const [gate, ends] = [createGate(), createGate()]
    const [here, there] = [echoAgent({ gate }), echoAgent()]
    await using slow = openEngine(database, {
      agents: [here],
      options: { ...fastLeases, recoveryMs: 60_000 },
      wrap: (ports) => holdEnds(ports, ends),
    })
    const first = await start(slow, 'first')
    const second = await start(slow, 'second', { whenBusy: 'queue' })
    gate.open()
    await ended(slow, first)
    await expireLeases(database)
    await using other = openEngine(database, { agents: [there], options: fastLeases })
    const events = await followAll(other, second.id)
    expect(events.map((event) => event.type).slice(0, 3)).toEqual(['run_queued', 'run_started', 'run_resumed'])
    ends.open()
    const { messages } = await settled(other, database)
    await slow.close()
    expect(promptsOf(messages)).toEqual(['first', 'second'])
    expect(there.asked).toEqual(['second'])
    expect(await followAll(other, second.id)).toEqual(events)
  })
})

describe('a step that is repeated because its answer was lost', () => {
  it.each([0, 1])(
    'a step that is repeated after a lost answer is the same step, whatever half of the commits seem to fail (%i)',
    async (parity) => {
      await using database = await openDatabase()
      await using lossy = await openLossyClient(database.databaseName)
      const gate = createGate()
      const agent = echoAgent({ gate })
      // No recovery runs in this test: the process itself must find out what the lost answer said.
      const options = { ...shortLeases, recoveryMs: 60_000 }
      await using engine = openEngine(database, { agents: [agent], options, wrap: () => lossy.storage })
      lossy.loseCommits((count) => count % 2 === parity)
      const first = await start(engine, 'first')
      const second = await start(engine, 'second', { whenBusy: 'queue' })
      const third = await start(engine, 'third', { whenBusy: 'queue' })
      expect([first.status, second.status, third.status]).toEqual(['running', 'queued', 'queued'])
      expect(await queueOf(database)).toEqual([second.id, third.id])
      expect(await engine.runs.cancel(ada, third.id)).toMatchObject({ status: 'cancelled', hadEnded: false })
      const fourth = await start(engine, 'fourth', { whenBusy: 'queue' })
      gate.open()
      await followAll(engine, fourth.id)
      gate.shut()
      await start(engine, 'fifth')
      await vi.waitFor(() => expect(agent.asked).toHaveLength(4), waitOptions)
      await start(engine, 'sixth', { whenBusy: 'queue' })
      const last = await start(engine, 'instead', { whenBusy: 'replace' })
      await vi.waitFor(() => expect(agent.asked).toHaveLength(5), waitOptions)
      gate.open()
      await followAll(engine, last.id)
      const { messages } = await settled(engine, database)
      expect(promptsOf(messages)).toEqual(['first', 'second', 'fourth', 'fifth', 'instead'])
      expect(agent.asked).toEqual(promptsOf(messages))
      expect(messages.map((message) => message.status).filter((status) => status !== 'completed')).toEqual([
        'cancelled',
      ])
      expect(lossy.lost()).toBeGreaterThan(6)
    },
  )

  it('a start that is repeated does not return a later run as its own', async () => {
    await using database = await openDatabase()
    await using lossy = await openLossyClient(database.databaseName)
    const [gate, answers] = [createGate(), createGate()]
    const agent = echoAgent({ gate })
    await using engine = openEngine(database, { agents: [agent], options: fastLeases, wrap: () => lossy.storage })
    const first = await start(engine, 'first')
    let commits = 0
    lossy.loseCommits(async () => {
      if (commits++ > 0) return false
      await answers.pass()
      return true
    })
    const starting = start(engine, 'second', { whenBusy: 'queue' })
    await vi.waitFor(() => expect(answers.arrivals).toBe(1), waitOptions)
    gate.open()
    await followAll(engine, first.id)
    gate.shut()
    await vi.waitFor(() => expect(agent.asked).toEqual(['first', 'second']), waitOptions)
    answers.open()
    // As it was when it was found: an attempt that is given up on a busy machine is repeated before its turn has come.
    expect((await starting).status).toMatch(/^(queued|running)$/)
    gate.open()
    await settled(engine, database)
    expect(agent.asked).toEqual(['first', 'second'])
    expect(engine.stats()).toMatchObject({ runsStarted: 2, runsEnded: { completed: 2 } })
  })
})

describe('a retry', () => {
  it('a retry does not wait, and a prompt that was never asked has none', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    await using engine = openEngine(database, { agents: [echoAgent({ gate })], options: fastLeases })
    const first = await start(engine, 'first')
    const second = await start(engine, 'second', { whenBusy: 'queue' })
    const retry = (runId: string) => engine.runs.retry(ada, { runId, newRunId: crypto.randomUUID() })
    await expect(retry(second.id)).rejects.toMatchObject({ code: 'SESSION_BUSY' })
    await engine.runs.cancel(ada, second.id)
    await expect(retry(second.id)).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: first.id } })
    gate.open()
    await followAll(engine, first.id)
    await expect(retry(second.id)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    await settled(engine, database)
  })
})

describe('a process that is stopping', () => {
  it('a process that drains starts no queued run, and another process starts it at once', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const [here, there] = [echoAgent({ gate }), echoAgent()]
    const options = { heartbeatMs: 10_000, selfFenceMs: 20_000, leaseMs: 30_000, recoveryMs: 50 }
    const stopping = openEngine(database, { agents: [here], options })
    const first = await start(stopping, 'first')
    await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
    const waiting = []
    for (const prompt of names(3)) waiting.push(await start(stopping, prompt, { whenBusy: 'queue' }))
    const drained = stopping.drain({ graceMs: 60_000 })
    await expect(start(stopping, 'late', { whenBusy: 'queue' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    gate.open()
    await drained
    expect((await database.storage.runRepository.getRun(ada, first.id))?.status).toBe('completed')
    expect(here.asked).toEqual(['first'])
    await using other = openEngine(database, { agents: [there], options })
    // Sooner than a lease of this process would have expired.
    for (const run of waiting) await followAll(other, run.id, { signal: AbortSignal.timeout(9_000) })
    await settled(other, database)
    expect(there.asked).toEqual(names(3))
    await stopping.close()
  })

  it('a process that drains releases its run and the queue after it', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const stopping = openEngine(database, { agents: [echoAgent({ gate })], options: fastLeases })
    await start(stopping, 'first')
    for (const prompt of names(3)) await start(stopping, prompt, { whenBusy: 'queue' })
    await stopping.drain({ graceMs: 1 })
    await stopping.close()
    await using other = openEngine(database, { agents: [echoAgent()], options: fastLeases })
    const { messages } = await settled(other, database)
    expect(promptsOf(messages)).toEqual(['first', ...names(3)])
  })
})

describe('a run of an agent that this process lacks', () => {
  it('a queued run whose agent is unknown to a process is left to a process that has the agent', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const [common, special] = [echoAgent({ gate }), echoAgent({ id: 'special' })]
    await using lacking = openEngine(database, { agents: [common], options: fastLeases })
    await using having = openEngine(database, { agents: [common, special], options: fastLeases })
    await start(lacking, 'first')
    const run = await startWith(having, 'special')
    gate.open()
    expect(answerFrom(await followAll(lacking, run)).status).toBe('completed')
    await settled(lacking, database)
    expect(special.asked).toEqual(['for special'])
  })

  it('a queued run whose agent is unknown to every process fails', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const common = echoAgent({ gate })
    await using lacking = openEngine(database, { agents: [common], options: fastLeases })
    const first = await start(lacking, 'first')
    const having = openEngine(database, { agents: [common, echoAgent({ id: 'special' })], options: fastLeases })
    const run = await startWith(having, 'special')
    await having.close()
    await start(lacking, 'goes on', { whenBusy: 'queue' })
    gate.open()
    await followAll(lacking, first.id)
    await expireLeases(database)
    const answer = answerFrom(await followAll(lacking, run))
    expect(answer).toMatchObject({ status: 'failed', error: { code: 'AGENT_NOT_FOUND' } })
    const { messages } = await settled(lacking, database)
    expect(promptsOf(messages)).toEqual(['first', 'for special', 'goes on'])
  })
})

describe('the cost of a turn', () => {
  it('a turn costs two transactions of the same commands, whatever its policy and however long the session is', async () => {
    await using database = await openDatabase()
    await using counted = await openLossyClient(database.databaseName)
    await using engine = openEngine(database, {
      agents: [echoAgent()],
      options: { recoveryMs: 60_000, heartbeatMs: 10_000 },
      wrap: () => counted.storage,
    })
    const costs = []
    for (let at = 0; at < 12; at++) {
      counted.reset()
      const run = await start(engine, `prompt ${at}`, { whenBusy: (['reject', 'queue', 'replace'] as const)[at % 3] })
      await followAll(engine, run.id)
      costs.push(counted.inTransactions())
    }
    const usual = { findAndModify: 2, update: 2, insert: 4, commitTransaction: 2 }
    // The session itself is one more insert: its title, which is the prompt, is part of no statement that may fail and be logged.
    // One more find tells that its owner is not being erased.
    expect(costs).toEqual([{ ...usual, insert: 5, find: 1 }, ...costs.slice(1).map(() => usual)])
    expect(await history(engine)).toHaveLength(24)
  })
})

async function startWith(engine: Engine, agentId: string): Promise<string> {
  const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: `for ${agentId}` }
  return (await engine.runs.start(ada, { ...input, agentId, whenBusy: 'queue' })).id
}

/** A client whose commits can be made to succeed and then to answer that the connection was lost. */
async function openLossyClient(databaseName: string) {
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  let counts: Record<string, number> = {}
  let isLost: (count: number) => boolean | Promise<boolean> = () => false
  let commits = 0
  let lost = 0
  client.on('commandStarted', ({ commandName, command }) => {
    if (command['txnNumber'] !== undefined && command['autocommit'] === false) {
      counts[commandName] = (counts[commandName] ?? 0) + 1
    }
  })
  const startSession = client.startSession.bind(client)
  client.startSession = (options) => {
    const session = startSession(options)
    const commit = session.commitTransaction.bind(session)
    session.commitTransaction = async () => {
      await commit()
      if (!(await isLost(commits++))) return
      lost++
      throw new MongoNetworkError('The answer was lost')
    }
    return session
  }
  await client.connect()
  return {
    storage: createMongoStorage({ client, databaseName, clock: systemClock }),
    lost: () => lost,
    reset: () => void (counts = {}),
    inTransactions: () => counts,
    loseCommits: (which: typeof isLost) => void (isLost = which),
    async [Symbol.asyncDispose]() {
      await client.close()
    },
  }
}
