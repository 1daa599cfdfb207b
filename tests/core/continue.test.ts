/** `onCrash: 'continue'`: what a lost process had said is kept, and another one goes on from it, within a budget. */
import { continuationPrompt, isTerminalEvent, textOf, unknownOutcome, VerbatimError } from '@verbatim/core'
import type { AgentEvent, Message, RunEvent } from '@verbatim/core'
import type { Agent, RunRepository, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { createGate, openTestDatabase } from '@verbatim/core/testing'
import { describe, expect, inject, it, vi } from 'vitest'
import { answerOf, manualAgent, messageEnd, messageStart, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions, startRun } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { echoAgent } from '../support/queue.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

const onCrash = 'continue'
const options = { ...shortLeases, recoveryMs: 30 }

/** Follows a run and those that go on from it, as a client does; answers the events of each. */
async function followChain(engine: Engine, runId: string): Promise<{ runIds: string[]; events: RunEvent[][] }> {
  const runIds: string[] = []
  const events: RunEvent[][] = []
  for (let next: string | null = runId; next !== null; next = answerFrom(events.at(-1) ?? []).continuedBy) {
    runIds.push(next)
    events.push(await followAll(engine, next))
  }
  return { runIds, events }
}

async function messagesOf(engine: Engine, sessionId = 'session-1'): Promise<Message[]> {
  return (await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 100 })).items
}

function outline(messages: readonly Message[]): string[] {
  return messages.map(({ role, status, continuationOf, content }) => {
    return `${role} ${status}${continuationOf === null ? '' : ' continues'}: ${textOf(content)}`
  })
}

async function waitForText(engine: Engine, runId: string, text: string): Promise<void> {
  const log: RunEvent[] = []
  for await (const batch of engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(20_000) })) {
    log.push(...batch.events)
    if (textOf(answerFrom(log).content) === text) return
  }
  throw new Error(`The run ended without saying ${text}`)
}

/** A run of a first process that says `text`, and then the process is lost. */
async function loseInMidText(database: TestDatabase, agent: Agent, text = 'One, two, '): Promise<string> {
  const speaker = manualAgent({ id: agent.id, onCrash })
  await using first = openCrashableEngine(database, { agents: [speaker], options })
  const runId = await startRun(first.engine)
  speaker.say(text)
  await waitForText(first.engine, runId, text)
  await first.crash()
  return runId
}

describe('a run whose process is lost in mid-answer', () => {
  it('a lost run is interrupted and continued in one step, and a follower anywhere reads the whole answer', async () => {
    await using database = await openDatabase()
    const first = manualAgent({ id: 'speaker', onCrash })
    const second = manualAgent({ id: 'speaker', onCrash })
    await using lost = openCrashableEngine(database, { agents: [first], options })
    const runId = await startRun(lost.engine, { message: 'Count to four' })
    first.say('One, two, ')
    await waitForText(lost.engine, runId, 'One, two, ')
    // Neither of the two takes part in the recovery: one drives, the other only reads.
    const { runRepository } = database.storage
    await using reader = openEngine(database, {
      agents: [first],
      options,
      wrap: () => ({ runRepository: { ...runRepository, claimExpiredLease: () => Promise.resolve(undefined) } }),
    })
    const following = followChain(reader, runId)
    await lost.crash()
    await using taker = openEngine(database, { agents: [second], options })
    await vi.waitFor(() => expect(second.requests).toHaveLength(1), waitOptions)
    second.say('three, four')
    second.end()
    const { runIds, events } = await following
    expect(runIds).toHaveLength(2)
    const [interrupted, linked] = events.map(answerFrom)
    expect(events[0]?.at(-1)).toMatchObject({ type: 'run_interrupted', continuedBy: runIds[1] })
    expect([interrupted?.status, linked?.status]).toEqual(['interrupted', 'completed'])
    expect(await taker.runs.get(ada, runId)).toMatchObject({ status: 'interrupted', continuedBy: runIds[1] })
    expect(await taker.runs.get(ada, runIds[1] ?? '')).toMatchObject({ status: 'completed', continuationOf: runId })
    expect(outline(await messagesOf(reader))).toEqual([
      'user completed: Count to four',
      'assistant interrupted: One, two, ',
      `user completed continues: ${continuationPrompt}`,
      'assistant completed continues: three, four',
    ])
    expect((await reader.sessions.get(ada, 'session-1')).activeRunId).toBeNull()
    const [request] = second.requests
    expect(request?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
    await expectIdle(taker)
  })

  it('a session stays busy over a continuation and is free at the end of the answer', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash })
    const runId = await loseInMidText(database, agent)
    await using taker = openEngine(database, { agents: [agent], options })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    const { continuedBy } = await taker.runs.get(ada, runId)
    await expect(startRun(taker)).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: continuedBy } })
    agent.end()
    await followChain(taker, runId)
    await startRun(taker, { message: 'Free again' })
    agent.end()
  })

  it('a lost run is only interrupted when its agent does not continue or is unknown', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash })
    const runId = await loseInMidText(database, agent)
    await using other = openEngine(database, { agents: [pacedAgent([], { id: 'another', onCrash })], options })
    expect((await followAll(other, runId)).at(-1)).not.toHaveProperty('continuedBy')
    await other.close()
    const again = await loseInMidText(database, agent)
    await using cautious = openEngine(database, { agents: [manualAgent()], options })
    expect((await followAll(cautious, again)).at(-1)).not.toHaveProperty('continuedBy')
    expect((await messagesOf(cautious)).map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
  })

  it('a lost run that its user asked to stop is cancelled with the part it has', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash })
    const runId = await loseInMidText(database, agent)
    await database.storage.runRepository.requestCancel(ada, runId)
    await using taker = openEngine(database, { agents: [agent], options })
    expect((await followAll(taker, runId)).at(-1)).toMatchObject({ type: 'run_cancelled' })
    expect(outline(await messagesOf(taker)).at(-1)).toBe('assistant cancelled: One, two, ')
    expect(agent.requests).toHaveLength(0)
  })

  it('a lost run that its user stops during the takeover is cancelled', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash })
    const runId = await loseInMidText(database, agent)
    const { runRepository } = database.storage
    const late: RunRepository = {
      ...runRepository,
      async continueRun(...args) {
        await runRepository.requestCancel(ada, runId)
        return await runRepository.continueRun(...args)
      },
    }
    await using taker = openEngine(database, { agents: [agent], options, wrap: () => ({ runRepository: late }) })
    expect((await followAll(taker, runId)).at(-1)).toMatchObject({ type: 'run_cancelled' })
    expect(agent.requests).toHaveLength(0)
    expect((await taker.sessions.get(ada, 'session-1')).activeRunId).toBeNull()
  })

  it('a lost run whose model had finished is completed without a continuation', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash })
    const speaker = manualAgent({ onCrash })
    await using lost = openCrashableEngine(database, { agents: [speaker], options })
    const runId = await startRun(lost.engine)
    speaker.yieldNext(...answerOf(['all of it']))
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBe(6), waitOptions)
    await lost.crash()
    await using taker = openEngine(database, { agents: [agent], options })
    const last = (await followAll(taker, runId)).at(-1)
    expect(last).toMatchObject({ type: 'run_interrupted', error: { data: { kind: 'whole' } } })
    expect(last).not.toHaveProperty('continuedBy')
    expect(agent.requests).toHaveLength(0)
  })

  it('another process continues a run at once when the process of the run drains', async () => {
    await using database = await openDatabase()
    const speaker = manualAgent({ onCrash })
    const agent = manualAgent({ onCrash })
    const leaving = openEngine(database, { agents: [speaker], options: { recoveryMs: 600_000 } })
    const runId = await startRun(leaving)
    speaker.say('before')
    await waitForText(leaving, runId, 'before')
    await leaving.drain({ graceMs: 1 })
    await leaving.close()
    await using staying = openEngine(database, { agents: [agent], options })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.say(' and after')
    agent.end()
    const { events } = await followChain(staying, runId)
    expect(events.map((log) => textOf(answerFrom(log).content))).toEqual(['before', ' and after'])
  })

  it('a continuation has its question in view, however small the window and long the chain is', async () => {
    await using database = await openDatabase()
    const agent = manualAgent({ onCrash, maxHistoryMessages: 1 })
    let runId = await loseInMidText(database, agent)
    for (let attempt = 0; attempt < 2; attempt++) {
      const speaker = manualAgent({ onCrash, maxHistoryMessages: 1 })
      await using taker = openCrashableEngine(database, { agents: [speaker], options })
      await vi.waitFor(() => expect(speaker.requests).toHaveLength(1), waitOptions)
      expect(textOf(speaker.requests[0]?.messages[0]?.content ?? [])).toBe('Say something')
      runId = (await taker.engine.runs.get(ada, runId)).continuedBy ?? ''
      speaker.say('more ')
      await waitForText(taker.engine, runId, 'more ')
      await taker.crash()
    }
  })
})

describe('a takeover that is lost itself', () => {
  /** The chain of a run whose taker is lost around its transaction, as the next process completes it. */
  async function chainAfter(fault: 'before' | 'after') {
    const database = await openDatabase()
    const runId = await loseInMidText(database, manualAgent({ onCrash }))
    const { runRepository } = database.storage
    const taken = Promise.withResolvers<void>()
    await using taker = openCrashableEngine(database, {
      agents: [manualAgent({ onCrash })],
      options: { ...options, recoveryMs: 600_000 },
      wrap: () => ({
        runRepository: {
          ...runRepository,
          async continueRun(...args) {
            if (fault === 'after') await runRepository.continueRun(...args)
            taken.resolve()
            throw new VerbatimError('UNAVAILABLE', 'The process died here')
          },
        },
      }),
    })
    await taken.promise
    await taker.crash()
    const agent = manualAgent({ onCrash })
    const engine = openEngine(database, { agents: [agent], options })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.say('the rest')
    agent.end()
    const chain = await followChain(engine, runId)
    const messages = await messagesOf(engine)
    const { items: runs } = await engine.runs.list(ada, 'session-1', { limit: 10 })
    const { activeRunId } = await engine.sessions.get(ada, 'session-1')
    await engine.close()
    await database[Symbol.asyncDispose]()
    return { chain, messages, runs, activeRunId, request: agent.requests[0] }
  }

  it('a takeover that is lost before its commit leaves nothing, and the next process takes the run over', async () => {
    const { chain, messages, runs, activeRunId } = await chainAfter('before')
    expect(chain.events.map((log) => answerFrom(log).status)).toEqual(['interrupted', 'completed'])
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect([runs.length, activeRunId]).toEqual([2, null])
  })

  it('a continuation that has only begun when its process is lost is driven by the next process', async () => {
    const { chain, messages, runs, activeRunId, request } = await chainAfter('after')
    const answers = chain.events.map(answerFrom)
    expect(answers.map(({ status }) => status)).toEqual(['interrupted', 'completed'])
    expect(answers.map(({ content }) => textOf(content))).toEqual(['One, two, ', 'the rest'])
    expect(messages.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    expect([runs.length, activeRunId]).toEqual([2, null])
    expect(request?.messages).toHaveLength(3)
  })

  it('a takeover that repeats its transaction starts one continuation', async () => {
    await using database = await openDatabase()
    const runId = await loseInMidText(database, manualAgent({ onCrash }))
    const { runRepository } = database.storage
    let calls = 0
    const stubborn: RunRepository = {
      ...runRepository,
      async continueRun(owned, end, given) {
        // The same end and the same linked run three times over, as a retry after a lost answer would.
        calls++
        await runRepository.continueRun(owned, end, given)
        await runRepository.continueRun(owned, end, given)
        return await runRepository.continueRun(owned, end, given)
      },
    }
    const agent = manualAgent({ onCrash })
    await using taker = openEngine(database, { agents: [agent], options, wrap: () => ({ runRepository: stubborn }) })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.end()
    const { events } = await followChain(taker, runId)
    expect([calls, events.length, (await messagesOf(taker)).length]).toEqual([1, 2, 4])
  })

  it.each([
    ['does not reach the database', { closeConnection: true }],
    ['lands, and its answer is lost', { writeConcernError: { code: 91, errmsg: 'Shutting down' } }],
  ])('a takeover whose commit %s starts one continuation', async (_name, failure) => {
    const appName = `continue-${crypto.randomUUID()}`
    const uri = new URL(inject('mongoUri'))
    uri.searchParams.set('appName', appName)
    await using database = await openTestDatabase(uri.href)
    const runId = await loseInMidText(database, manualAgent({ onCrash }))
    await using failPoint = await holdFailPoint()
    // Twice, because the driver itself tries a commit once more.
    await failPoint.set(2, { failCommands: ['commitTransaction'], appName, ...failure })
    const agent = manualAgent({ onCrash })
    await using taker = openEngine(database, { agents: [agent], options })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.end()
    const { events } = await followChain(taker, runId)
    const { items: runs } = await taker.runs.list(ada, 'session-1', { limit: 10 })
    expect([events.length, runs.length, (await messagesOf(taker)).length]).toEqual([2, 2, 4])
  })

  it('what a zombie writes once more is in the history of the continuation', async () => {
    await using database = await openDatabase()
    const runId = await loseInMidText(database, manualAgent({ onCrash }))
    const { runRepository, eventLog } = database.storage
    const late: RunRepository = {
      ...runRepository,
      async continueRun(owned, end, given) {
        const batchId = crypto.randomUUID()
        const text: AgentEvent = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'late' } }
        const entry = { key: owned.key, owner: owned.owner, firstSeq: end.seq, batchId, events: [text] }
        if (end.seq === 5) await eventLog.append([entry], { signal: AbortSignal.timeout(20_000) })
        return await runRepository.continueRun(owned, end, given)
      },
    }
    const agent = manualAgent({ onCrash })
    await using taker = openEngine(database, { agents: [agent], options, wrap: () => ({ runRepository: late }) })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.end()
    const { events } = await followChain(taker, runId)
    expect(textOf(answerFrom(events[0] ?? []).content)).toBe('One, two, late')
    expect(textOf(agent.requests[0]?.messages[1]?.content ?? [])).toBe('One, two, late')
  })
})

/** An agent whose every answer is lost with its process after a few words. */
async function loseEachTime(database: TestDatabase, agent: Partial<Agent>, says = 'again and ') {
  const speaker = manualAgent({ onCrash, ...agent })
  await using first = openCrashableEngine(database, { agents: [speaker], options })
  const runId = await startRun(first.engine)
  let current = runId
  let lives = first
  for (let attempt = 1; attempt <= 10; attempt++) {
    speakOnce(speaker, says)
    await waitForText(lives.engine, current, says)
    await lives.crash()
    const next = openCrashableEngine(database, { agents: [speaker], options })
    await lives[Symbol.asyncDispose]()
    lives = next
    const ended = await vi.waitFor(async () => {
      const run = await next.engine.runs.get(ada, current)
      expect(run.status).toBe('interrupted')
      return run
    }, waitOptions)
    if (ended.continuedBy === null) break
    current = ended.continuedBy
  }
  const chain = await followChain(lives.engine, runId)
  const messages = await messagesOf(lives.engine)
  await lives[Symbol.asyncDispose]()
  return { chain, messages, calls: speaker.requests.length }
}

/** One model call's beginning and its words: a hand agent that is asked again has to begin again. */
function speakOnce(agent: ReturnType<typeof manualAgent>, text: string): void {
  const usage = { input_tokens: 1_000, output_tokens: 1 }
  agent.yieldNext(
    { type: 'message_start', message: { model: 'm', usage } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text } },
  )
}

describe('a run that takes every process down', () => {
  const prices = { input: 3, output: 0, cacheRead: 0, cacheWrite: 0 }
  const says = 'x'.repeat(4_000) // about 1,000 tokens a run
  const maxCost = { usd: 0.005, prices } // 1,000 input tokens a run cost 0.003 dollars
  it.each([
    { when: 'after three continuations by default', runs: 4 },
    { when: 'after as many continuations as its agent allows', continuation: { maxContinuations: 1 }, runs: 2 },
    { when: 'without a continuation when its agent allows none', continuation: { maxContinuations: 0 }, runs: 1 },
    {
      when: 'when its continuations put out more tokens than allowed',
      continuation: { maxOutputTokens: 1_500 },
      runs: 2,
      kind: 'output_tokens',
      says,
    },
    { when: 'when its continuations cost more than allowed', continuation: { maxCost }, runs: 2, kind: 'cost' },
  ])('a run stops $when', async ({ continuation = {}, runs, kind = 'continuations', says: text }) => {
    await using database = await openDatabase()
    const { chain, calls, messages } = await loseEachTime(database, { continuation }, text)
    expect([chain.events.length, calls, messages.length]).toEqual([runs, runs, 2 * runs])
    expect(chain.events.at(-1)?.at(-1)).toMatchObject({ type: 'run_interrupted', error: { data: { kind } } })
  })
})

describe('a tool that was running when its process was lost', () => {
  const call = { type: 'tool_use', id: 'toolu_1', name: 'pay', input: {} } as const
  const asks: AgentEvent[] = [
    messageStart(3),
    { type: 'content_block_start', index: 0, content_block: call },
    { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{"euros":5}' } },
    { type: 'content_block_stop', index: 0 },
    ...messageEnd('tool_use', 9),
  ]

  it('a tool runs only when the log holds its call', async () => {
    await using database = await openDatabase()
    const { eventLog } = database.storage
    const stored: RunEvent[] = []
    const storedAtCall: string[] = []
    const agent: Agent = {
      id: 'payer',
      async *stream() {
        yield* asks
        storedAtCall.push(...stored.map(({ type }) => type))
        yield { type: 'tool_result', tool_use_id: 'toolu_1', content: 'paid', is_error: false, durationMs: 1 }
      },
    }
    await using engine = openEngine(database, {
      agents: [agent],
      options,
      wrap: () => ({
        eventLog: {
          ...eventLog,
          async append(entries, given) {
            const outcomes = await eventLog.append(entries, given)
            stored.push(...entries.flatMap(({ events }) => events))
            return outcomes
          },
        },
      }),
    })
    await followAll(engine, await startRun(engine))
    expect(storedAtCall).toEqual(asks.map(({ type }) => type))
  })

  it.each(['continue', 'interrupt'] as const)('a lost tool call is unknown with onCrash %s', async (policy) => {
    await using database = await openDatabase()
    const started = Promise.withResolvers<void>()
    const payer: Agent = {
      id: 'payer',
      onCrash: policy,
      async *stream(_request, signal) {
        yield* asks
        started.resolve()
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    }
    await using lost = openCrashableEngine(database, { agents: [payer], options })
    const runId = await startRun(lost.engine)
    await started.promise
    await lost.crash()
    const agent = manualAgent({ id: 'payer', onCrash: policy })
    await using taker = openEngine(database, { agents: [agent], options })
    const events = await followAll(taker, runId)
    expect(events.slice(-2)).toMatchObject([
      { type: 'tool_result', tool_use_id: 'toolu_1', content: unknownOutcome, is_error: true },
      { type: 'run_interrupted', metrics: { tools: [{ name: 'pay', calls: 1, errors: 1 }] } },
    ])
    expect(events.filter(isTerminalEvent)).toHaveLength(1)
    const message = await answerMessage(taker, runId)
    expect(message.content).toEqual(answerFrom(events).content)
    expect((await taker.runs.get(ada, runId)).lastSeq).toBe(events.length)
    agent.end()
    if (policy === 'continue') await followChain(taker, runId)
  })

  it('a tool call that was not whole is not reported as unknown, because it never ran', async () => {
    await using database = await openDatabase()
    const speaker = manualAgent({ onCrash })
    await using lost = openCrashableEngine(database, { agents: [speaker], options })
    const runId = await startRun(lost.engine)
    speaker.yieldNext(...asks.slice(0, 4))
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBe(4), waitOptions)
    await lost.crash()
    const agent = manualAgent({ onCrash })
    await using taker = openEngine(database, { agents: [agent], options })
    agent.end()
    const { events } = await followChain(taker, runId)
    expect(events.flat().filter(({ type }) => type === 'tool_result')).toEqual([])
  })
})

it('every process sees the expired leases at once, and each run is continued once', async () => {
  await using database = await openDatabase()
  const speaker = echoAgent({ id: 'hand', gate: createGate() })
  await using lost = openCrashableEngine(database, { agents: [speaker], options })
  const runIds = await Promise.all(
    [1, 2, 3, 4].map(async (at) => await startRun(lost.engine, { sessionId: `s-${at}` })),
  )
  await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBe(3 * runIds.length), waitOptions)
  await lost.crash()
  const agent = pacedAgent(answerOf(['the rest']), { id: 'hand', onCrash })
  const takers = Array.from({ length: 4 }, () => openEngine(database, { agents: [agent], options }))
  for (const [at, runId] of runIds.entries()) {
    const { events } = await followChain(takers[at] as Engine, runId)
    expect(events.map((log) => answerFrom(log).status)).toEqual(['interrupted', 'completed'])
    expect(await messagesOf(takers[0] as Engine, `s-${at + 1}`)).toHaveLength(4)
  }
  await Promise.all(takers.map(async (taker) => await taker.close()))
})
