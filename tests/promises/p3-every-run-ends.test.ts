/** P3: whatever happens to agent, log or process, a run reaches exactly one terminal event, and it is the log's last. */
import { isTerminalEvent, textOf, VerbatimError } from '@verbatim/core'
import type { AgentEvent, RunEvent, WireError } from '@verbatim/core'
import type { Agent, EventLog, RunRepository, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, messageEnd, messageStart, pacedAgent } from '../support/agents.ts'
import { expireLeases, expiringLeases, openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions, startRun } from '../support/follow.ts'
import { expectIdle, watchLeaks } from '../support/leaks.ts'
import { echoAgent } from '../support/queue.ts'

/** Checks the end of a run: the last event, the run, the message and the session agree. */
async function expectEnded(engine: Engine, runId: string, events: readonly RunEvent[]) {
  expect(events.filter(isTerminalEvent)).toEqual([events.at(-1)])
  const answer = answerFrom(events)
  const run = await engine.runs.get(ada, runId)
  expect(run).toMatchObject({ status: answer.status, lastSeq: events.length, error: answer.error })
  const message = await answerMessage(engine, runId)
  expect(message).toMatchObject({ status: answer.status, content: answer.content, metrics: answer.metrics })
  expect((await engine.sessions.get(ada, run.sessionId)).activeRunId).toBeNull()
  return { answer, error: answer.error as WireError }
}

async function runToEnd(agent: Agent, options = {}) {
  await using test = await openOne({ agents: [agent], options })
  const runId = await startRun(test.engine)
  const ended = await expectEnded(test.engine, runId, await followAll(test.engine, runId))
  await expectIdle(test.engine)
  return ended
}

describe('an agent that fails', () => {
  it('a run whose agent throws keeps the part that was said and masks the error', async () => {
    const agent = manualAgent()
    agent.say('half an ')
    agent.fail(new Error('secret of the agent'))
    const { answer, error } = await runToEnd(agent)
    expect(answer.status).toBe('failed')
    expect(textOf(answer.content)).toBe('half an ')
    expect(error.code).toBe('INTERNAL')
    expect(error.data.correlationId).toMatch(/^[0-9a-f-]{36}$/)
    expect(JSON.stringify(answer)).not.toContain('secret')
  })

  it('a run whose agent throws before its first event fails with an empty answer', async () => {
    const agent = manualAgent()
    agent.fail(new VerbatimError('PROVIDER_ERROR', 'The provider refused', { data: { providerStatus: 529 } }))
    const { answer, error } = await runToEnd(agent)
    expect(answer).toMatchObject({ status: 'failed', content: [] })
    expect(error).toMatchObject({ code: 'PROVIDER_ERROR', retryable: true, data: { providerStatus: 529 } })
  })

  it('a run whose agent throws before it returns a stream fails and leaves no timer behind', async () => {
    const leaks = await watchLeaks()
    const { error } = await runToEnd({
      id: 'eager',
      stream() {
        throw new Error('no stream')
      },
    })
    expect(error.code).toBe('INTERNAL')
    await leaks.expectNone()
  })

  it.each([
    ['an unknown event', { type: 'nonsense' }],
    ['a terminal event of its own', { type: 'message_stop', extra: true }],
    ['an event without its fields', { type: 'content_block_delta', index: 0 }],
  ])('a run whose agent yields %s fails, and the event is not stored', async (_name, event) => {
    const agent = manualAgent()
    agent.say('fine')
    agent.yieldNext(event as never)
    const { answer, error } = await runToEnd(agent)
    expect([textOf(answer.content), error.code]).toEqual(['fine', 'INTERNAL'])
  })

  it('a run whose answer is larger than a message may be fails with what fitted', async () => {
    const agent = pacedAgent(answerOf(Array.from({ length: 30 }, () => 'x'.repeat(1_000))))
    const { answer, error } = await runToEnd(agent, { maxAnswerBytes: 20_000 })
    expect(error).toMatchObject({ code: 'MESSAGE_TOO_LARGE', data: { maxBytes: 20_000 } })
    expect(textOf(answer.content).length).toBeGreaterThan(15_000)
    expect(textOf(answer.content).length).toBeLessThan(20_000)
  })

  it('a run whose answer has megabytes of characters of three bytes fails', async () => {
    const chunk = '漢'.repeat(100_000)
    const { answer, error } = await runToEnd(pacedAgent(answerOf(Array.from({ length: 70 }, () => chunk))))
    expect([answer.status, error.code]).toEqual(['failed', 'MESSAGE_TOO_LARGE'])
  })

  it('a run whose answer has more blocks than a message may hold fails', async () => {
    const text = 'x'.repeat(1_500_000)
    const blocks = Array.from({ length: 12 }, (_, index): AgentEvent[] => [
      { type: 'content_block_start', index, content_block: { type: 'text', text } },
      { type: 'content_block_stop', index },
    ])
    const agent = pacedAgent([messageStart(1), ...blocks.flat(), ...messageEnd('end_turn', 1)])
    const { answer, error } = await runToEnd(agent)
    expect([answer.status, error.code]).toEqual(['failed', 'MESSAGE_TOO_LARGE'])
  })
})

describe('an agent that hangs', () => {
  it('a run whose agent sends no token ends by the first-token timeout', async () => {
    const { answer, error } = await runToEnd(manualAgent(), { firstTokenMs: 50 })
    expect(answer).toMatchObject({ status: 'failed', content: [] })
    expect(error).toMatchObject({ code: 'RUN_TIMEOUT', data: { kind: 'first_token', timeoutMs: 50 } })
  })

  it('a run whose agent falls silent ends by the idle timeout and keeps its tokens', async () => {
    const agent = manualAgent()
    agent.say('some tokens')
    const { answer, error } = await runToEnd(agent, { idleMs: 200 })
    expect(error).toMatchObject({ code: 'RUN_TIMEOUT', data: { kind: 'idle', timeoutMs: 200 } })
    expect(textOf(answer.content)).toBe('some tokens')
    expect(agent.wasStopped).toBe(true)
  })

  it('a run whose agent talks without end ends by the total timeout', async () => {
    const forever: Agent = {
      id: 'forever',
      timeouts: { totalMs: 300 },
      async *stream() {
        // At once, so that they are said even when the machine is held up for longer than the run may take.
        yield* answerOf(['on and ', 'on and ']).slice(0, 4)
        while (true) {
          await new Promise((go) => setTimeout(go, 10))
          yield answerOf(['on and '])[2]!
        }
      },
    }
    const { answer, error } = await runToEnd(forever)
    expect(error).toMatchObject({ code: 'RUN_TIMEOUT', data: { kind: 'total', timeoutMs: 300 } })
    expect(textOf(answer.content)).toContain('on and on and ')
  })

  it('an agent that ignores its signal holds up neither the end of its run nor the engine', async () => {
    const agent = manualAgent({ ignoresSignal: true })
    agent.say('stuck')
    const { answer, error } = await runToEnd(agent, { idleMs: 200 })
    expect([answer.status, error.code, agent.wasStopped]).toEqual(['failed', 'RUN_TIMEOUT', true])
  })
})

describe('a log that cannot be written', () => {
  it('a log that cannot be written shows nothing that is not stored, and the run ends when the log is back', async () => {
    await using database = await openDatabase()
    const away = { isAway: false }
    const { eventLog } = database.storage
    const unwritable: EventLog = {
      ...eventLog,
      append: async (...args) =>
        away.isAway ? await Promise.reject(new VerbatimError('UNAVAILABLE')) : await eventLog.append(...args),
    }
    const agent = manualAgent()
    await using engine = openEngine(database, {
      agents: [agent],
      options: expiringLeases,
      wrap: () => ({ eventLog: unwritable }),
    })
    const runId = await startRun(engine)
    const events: RunEvent[] = []
    const following = followAll(engine, runId, { onBatch: (batch) => events.push(...batch.events) })
    agent.say('stored')
    await vi.waitFor(() => expect(textOf(answerFrom(events).content)).toBe('stored'), waitOptions)
    away.isAway = true
    agent.say(' lost')
    const { answer } = await expectEnded(engine, runId, await following)
    expect([answer.status, textOf(answer.content)]).toEqual(['interrupted', 'stored'])
    expect(agent.wasStopped).toBe(true)
    await expectIdle(engine)
  })

  it('one run that cannot be stored does not take the other runs of its process with it', async () => {
    await using database = await openDatabase()
    const { eventLog, runRepository } = database.storage
    const refused = { key: '' }
    const refuse = (key: string) => {
      if (key === refused.key) throw new Error('This entry cannot be stored')
    }
    const picky = {
      eventLog: {
        ...eventLog,
        append: async (entries, options) => {
          for (const { key } of entries) refuse(key)
          return await eventLog.append(entries, options)
        },
      } satisfies EventLog,
      runRepository: {
        ...runRepository,
        resumeRun: async (owned, resumption) => {
          refuse(owned.key)
          return await runRepository.resumeRun(owned, resumption)
        },
      } satisfies RunRepository,
    }
    const agents = [pacedAgent(answerOf(Array.from({ length: 50 }, (_, at) => `w${at} `)))]
    // No heartbeat comes before the lost run is given up, so none renews the lease that the test lets expire.
    const options = { ...shortLeases, heartbeatMs: 10_000 }
    await using engine = openEngine(database, { agents, options, wrap: () => picky })
    const bad = crypto.randomUUID()
    refused.key = eventLog.keyOf(ada, bad)
    const good = Array.from({ length: 5 }, () => crypto.randomUUID())
    const starts = [...good, bad].map((runId, at) => startRun(engine, { runId, sessionId: `session-${at}` }))
    await Promise.all(starts)
    for (const runId of good) {
      const { answer } = await expectEnded(engine, runId, await followAll(engine, runId))
      expect(answer.status).toBe('completed')
    }
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
    await expireLeases(database)
    const { answer } = await expectEnded(engine, bad, await followAll(engine, bad))
    expect([answer.status, answer.content]).toEqual(['interrupted', []])
  })
})

/** What a frozen process looks like from outside: its writes and heartbeats do not arrive, until they all do. */
function freezable({ storage: { eventLog, runRepository } }: TestDatabase) {
  const gate = createGate({ isOpen: true })
  const log: EventLog = {
    ...eventLog,
    async append(entries, options) {
      await gate.pass()
      return await eventLog.append(entries, options)
    },
  }
  const runs: RunRepository = {
    ...runRepository,
    async renewLeases(...args) {
      await gate.pass()
      return await runRepository.renewLeases(...args)
    },
    async finishRun(...args) {
      await gate.pass()
      return await runRepository.finishRun(...args)
    },
    async claimExpiredLease(...args) {
      await gate.pass()
      return await runRepository.claimExpiredLease(...args)
    },
  }
  // A frozen process does not see time pass.
  const clock = { now: () => new Date(), monotonicMs: () => 0 }
  return { gate, ports: { eventLog: log, runRepository: runs, clock } }
}

describe('a process that is lost', () => {
  it('another process ends a lost run, keeps the stored part and shows the end to every follower', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const { gate, ports } = freezable(database)
    await using first = openEngine(database, { agents: [agent], wrap: () => ports })
    await using second = openEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(first)
    const [here, there] = [followAll(first, runId), followAll(second, runId)]
    agent.say('stored part')
    await vi.waitFor(() => expect(first.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    gate.shut()
    await expireLeases(database)
    const events = await there
    const { answer } = await expectEnded(second, runId, events)
    expect([answer.status, textOf(answer.content)]).toEqual(['interrupted', 'stored part'])
    await startRun(second, { message: 'The session is free again' })
    gate.open()
    agent.say('a word that makes the zombie write')
    expect(await here).toEqual(events)
  })

  it('a process that wakes up after its run ended can neither add to the log nor end the run again', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const { gate, ports } = freezable(database)
    await using zombie = openEngine(database, { agents: [agent], wrap: () => ports })
    await using second = openEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(zombie)
    agent.say('before')
    await vi.waitFor(() => expect(zombie.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    gate.shut()
    agent.say(' after')
    await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), waitOptions)
    await expireLeases(database)
    const events = await followAll(second, runId)
    gate.open()
    agent.say(' and more')
    agent.end()
    await vi.waitFor(() => expect(zombie.stats().runsActive).toBe(0), waitOptions)
    expect(await followAll(second, runId)).toEqual(events)
    const { answer } = await expectEnded(second, runId, events)
    expect([answer.status, textOf(answer.content)]).toEqual(['interrupted', 'before'])
    expect(zombie.stats().runsEnded).toEqual({ completed: 0, refused: 0, failed: 0, cancelled: 0, interrupted: 0 })
    const { items } = await second.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
    expect(items.map((message) => message.role)).toEqual(['user', 'assistant'])
  })

  it('a process that freezes at the end of its answer does not answer twice', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const { gate, ports } = freezable(database)
    const { eventLog } = database.storage
    await using zombie = openEngine(database, { agents: [agent], wrap: () => ({ ...ports, eventLog }) })
    await using second = openEngine(database, { agents: [agent], options: shortLeases })
    const runId = await startRun(zombie)
    gate.shut()
    agent.say('whole')
    agent.end()
    await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), waitOptions)
    await expireLeases(database)
    const events = await followAll(second, runId)
    gate.open()
    await vi.waitFor(() => expect(zombie.stats().runsActive).toBe(0), waitOptions)
    const { answer } = await expectEnded(second, runId, await followAll(second, runId))
    expect(answer).toEqual(answerFrom(events))
    expect([answer.status, textOf(answer.content)]).toEqual(['interrupted', 'whole'])
  })

  it('a part that a process writes while its run is recovered is kept', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    const { gate, ports } = freezable(database)
    await using zombie = openEngine(database, { agents: [agent], wrap: () => ports })
    const runId = await startRun(zombie)
    agent.say('before')
    await vi.waitFor(() => expect(zombie.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const committed = zombie.stats().eventsCommitted
    gate.shut()
    agent.say(' in between')
    await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(0), waitOptions)
    const { runRepository } = database.storage
    const late: RunRepository = {
      ...runRepository,
      async finishRun(...args) {
        // The recovering process has read the log; only now the zombie's write lands, at the very seq of the end.
        gate.open()
        await vi.waitFor(() => expect(zombie.stats().eventsCommitted).toBeGreaterThan(committed), waitOptions)
        return await runRepository.finishRun(...args)
      },
    }
    await using second = openEngine(database, {
      agents: [agent],
      options: shortLeases,
      wrap: () => ({ runRepository: late }),
    })
    await expireLeases(database)
    const { answer } = await expectEnded(second, runId, await followAll(second, runId))
    expect([answer.status, textOf(answer.content)]).toEqual(['interrupted', 'before in between'])
  })

  it('a lost run is recovered once, however many processes look for it', async () => {
    await using database = await openDatabase()
    const agent = echoAgent({ gate: createGate() })
    const { gate, ports } = freezable(database)
    await using zombie = openEngine(database, { agents: [agent], wrap: () => ports })
    const runIds = []
    for (let at = 0; at < 4; at++) runIds.push(await startRun(zombie, { sessionId: `session-${at}` }))
    await vi.waitFor(() => expect(zombie.stats().eventsCommitted).toBe(3 * runIds.length), waitOptions)
    gate.shut()
    const options = { ...shortLeases, recoveryMs: 20 }
    const others = Array.from({ length: 4 }, () => openEngine(database, { agents: [agent], options }))
    await expireLeases(database)
    for (const runId of runIds) await expectEnded(others[0]!, runId, await followAll(others[0]!, runId))
    const messages = database.client.db(database.databaseName).collection('messages')
    expect(await messages.countDocuments({ role: 'assistant', status: 'interrupted' })).toBe(runIds.length)
    await Promise.all(others.map(async (engine) => await engine.close()))
    gate.open()
  })
})

describe('heartbeats that do not come through', () => {
  it('heartbeats keep the lease of a long answer', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using first = openEngine(database, { agents: [agent], options: expiringLeases })
    await using second = openEngine(database, { agents: [agent], options: { ...expiringLeases, recoveryMs: 20 } })
    const runId = await startRun(first)
    agent.say('slow ')
    const runs = database.client.db(database.databaseName).collection('runs')
    const [created] = await runs.find().toArray()
    await vi.waitFor(async () => {
      const [run] = await runs.find().toArray()
      const heldMs = run?.['lease'].renewedAt.getTime() - created?.['lease'].renewedAt.getTime()
      expect(heldMs).toBeGreaterThan(expiringLeases.leaseMs)
    }, waitOptions)
    agent.say('answer')
    agent.end()
    const { answer } = await expectEnded(second, runId, await followAll(second, runId))
    expect([answer.status, textOf(answer.content)]).toEqual(['completed', 'slow answer'])
  })

  it('a process whose heartbeats do not come through releases its runs by its own clock', async () => {
    await using database = await openDatabase()
    const gate = createGate({ isOpen: true })
    const { runRepository } = database.storage
    const hanging: RunRepository = {
      ...runRepository,
      async renewLeases(...args) {
        await gate.pass()
        return await runRepository.renewLeases(...args)
      },
    }
    const agent = manualAgent()
    await using first = openEngine(database, {
      agents: [agent],
      options: { heartbeatMs: 200, selfFenceMs: 2_000, leaseMs: 60_000 },
      wrap: () => ({ runRepository: hanging }),
    })
    await startRun(first)
    agent.say('and then silence')
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    gate.shut()
    await vi.waitFor(() => expect(first.stats().runsActive).toBe(0), waitOptions)
    expect(agent.wasStopped).toBe(true)
  })

  it('an engine closes while the database hangs', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const { runRepository } = database.storage
    const hang = async () => {
      await gate.pass()
      return await Promise.reject(new VerbatimError('UNAVAILABLE'))
    }
    const hanging: RunRepository = { ...runRepository, renewLeases: hang, claimExpiredLease: hang }
    const agent = manualAgent()
    const engine = openEngine(database, {
      agents: [agent],
      options: { heartbeatMs: 20 },
      wrap: () => ({ runRepository: hanging }),
    })
    await startRun(engine)
    await vi.waitFor(() => expect(gate.arrivals).toBeGreaterThan(1), waitOptions)
    await engine.close()
    expect(engine.stats().runsActive).toBe(0)
  })
})
