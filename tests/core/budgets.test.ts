/** Budgets of a day, on a ledger that all processes share: counted once, checked before each model call. */
import { isVerbatimError, ownerOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Agent, Engine, EngineOptionsInput } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, messageEnd, messageStart, textDelta } from '../support/agents.ts'
import { openDatabase, openOne } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { eraseNow, exportOf, linesOf } from '../support/principals.ts'
import { openFleet, openProcess } from '../support/processes.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

const callTokens = 100

/** One model call of {@link callTokens} tokens that says `text`. */
function callOf(text: string, stopReason: string): AgentEvent[] {
  return [
    messageStart(callTokens - 1),
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    textDelta(text),
    { type: 'content_block_stop', index: 0 },
    ...messageEnd(stopReason, 1),
  ]
}

/** Makes `calls` model calls and counts them. Waits at `gate` before the first. */
function busyAgent(calls: number, rest: Partial<Agent> = {}, gate = createGate({ isOpen: true })) {
  const agent = {
    id: 'busy',
    made: 0,
    ...rest,
    async *stream(): AsyncGenerator<AgentEvent> {
      await gate.pass()
      for (let call = 1; call <= calls; call++) {
        agent.made++
        yield* callOf(`call ${call}. `, call < calls ? 'tool_use' : 'end_turn')
      }
    },
  }
  return agent satisfies Agent
}

function budgetOf(tokensPerDay: number): EngineOptionsInput {
  return { budgets: { principal: { tokensPerDay } } }
}

async function ledgerOf(database: TestDatabase, ownerId: string | null = 'ada') {
  const ledger = database.client.db(database.databaseName).collection('usage_ledger')
  const shards = await ledger.find({ '_id.o': ownerId }).toArray()
  const sum = (field: string) => shards.reduce((total, shard) => total + Number(shard[field]), 0)
  return { tokens: sum('tokens'), costUsd: sum('costUsd'), shards: shards.length }
}

const exceeded = (kind: string) => ({
  code: 'BUDGET_EXCEEDED',
  retryable: false,
  data: { kind, retryAfterMs: expect.any(Number) as number },
})

describe('a budget of tokens', () => {
  it('32 runs on three processes pass a budget by at most one model call each, and every call is counted once', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const agent = busyAgent(10, {}, gate)
    const budget = 50 * callTokens
    await using fleet = openFleet(3, database, { agent, options: budgetOf(budget) })
    const runIds = await Promise.all(
      Array.from({ length: 32 }, async (_, at) => await startRun(fleet.at(at), { sessionId: `session-${at}` })),
    )
    // No run is at its end before the last has begun.
    await vi.waitFor(() => expect(gate.arrivals).toBe(runIds.length), waitOptions)
    gate.open()
    const ends = await Promise.all(runIds.map(async (runId, at) => (await followAll(fleet.at(at + 1), runId)).at(-1)))
    expect(ends.map((end) => end?.type)).toEqual(runIds.map(() => 'run_failed'))
    const { tokens } = await ledgerOf(database)
    expect(tokens).toBe(agent.made * callTokens)
    expect(agent.made).toBeGreaterThanOrEqual(50)
    expect(agent.made).toBeLessThanOrEqual(50 + 32)
  }, 60_000)

  it('a run whose budget is used up in its middle fails and keeps what was said', async () => {
    const agent = busyAgent(3)
    await using test = await openOne({ agents: [agent], options: budgetOf(2 * callTokens) })
    const runId = await startRun(test.engine)
    const events = await followAll(test.engine, runId)
    expect(events.at(-1)).toMatchObject({ type: 'run_failed', error: exceeded('principal_tokens') })
    expect(agent.made).toBe(2)
    const message = await answerMessage(test.engine, runId)
    expect(message).toMatchObject({ status: 'failed', metrics: { totalTokens: 2 * callTokens } })
    expect(JSON.stringify(message.content)).toContain('call 2. ')
  })

  it('a start is refused before anything is stored when the budget is used up, and told when it is full again', async () => {
    await using test = await openOne({ agents: [busyAgent(1)], options: budgetOf(callTokens) })
    const { engine } = test
    await followAll(engine, await startRun(engine))
    const refused = await startRun(engine, { sessionId: 'session-2' }).catch((error: unknown) => error)
    expect(refused).toMatchObject(exceeded('principal_tokens'))
    const untilMidnightMs = 86_400_000 - (new Date().getTime() % 86_400_000)
    expect(isVerbatimError(refused) && refused.data.retryAfterMs).toBeLessThanOrEqual(untilMidnightMs + 60_000)
    await expect(engine.sessions.get(ada, 'session-2')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    await followAll(engine, await startRun(engine, { owner: eve }), { owner: eve })
  })

  it('a start that is repeated after the budget is used up is the same run', async () => {
    const agent = busyAgent(1)
    await using test = await openOne({ agents: [agent], options: budgetOf(callTokens) })
    const runId = await startRun(test.engine)
    await followAll(test.engine, runId)
    await startRun(test.engine, { runId })
    expect(agent.made).toBe(1)
  })

  it('an answer that ends as its budget is used up is complete', async () => {
    await using test = await openOne({ agents: [busyAgent(1)], options: budgetOf(1) })
    const events = await followAll(test.engine, await startRun(test.engine))
    expect(answerFrom(events).status).toBe('completed')
  })

  it('an agent that goes on after its last word is stopped at its next call', async () => {
    const agent: Agent = {
      id: 'tireless',
      async *stream() {
        for (let call = 1; call <= 5; call++) yield* callOf(`call ${call}. `, 'end_turn')
      },
    }
    await using test = await openOne({ agents: [agent], options: budgetOf(callTokens) })
    const events = await followAll(test.engine, await startRun(test.engine))
    expect(events.at(-1)).toMatchObject({ type: 'run_failed', error: exceeded('principal_tokens') })
    expect(events.filter(({ type }) => type === 'message_start')).toHaveLength(2)
  })

  it('a call that is cancelled is counted by what it had said', async () => {
    const gate = createGate()
    const agent: Agent = {
      id: 'slow',
      async *stream(_request, signal) {
        yield* callOf('x'.repeat(400), 'end_turn').slice(0, 3)
        await gate.pass(signal)
      },
    }
    await using test = await openOne({ agents: [agent], options: budgetOf(10_000) })
    const runId = await startRun(test.engine)
    await gate.reached()
    expect((await test.engine.runs.cancel(ada, runId)).status).toBe('cancelled')
    expect((await ledgerOf(test.database)).tokens).toBe(callTokens - 1 + 100)
  })

  it('a provider that is asked again is asked only while there is a budget', async () => {
    let asked = 0
    const agent: Agent = {
      id: 'refused',
      async *stream() {
        const error = { code: 'PROVIDER_ERROR', message: 'Overloaded', retryable: true, data: {} } as const
        for (let attempt = 1; attempt <= 3; attempt++) {
          asked++
          // Meanwhile another run of the same principal uses the budget up.
          if (attempt === 1) await followAll(other, await startRun(other, { sessionId: 'session-2' }))
          yield { type: 'run_retrying', attempt, delayMs: 0, error }
        }
      },
    }
    await using database = await openDatabase()
    await using process = openProcess(database, { agent: busyAgent(1), options: budgetOf(callTokens) })
    const other: Engine = process.engine
    await using first = openProcess(database, { agent, options: budgetOf(callTokens) })
    const events = await followAll(first.engine, await startRun(first.engine))
    expect(events.at(-1)).toMatchObject({ type: 'run_failed', error: exceeded('principal_tokens') })
    expect(asked).toBe(1)
  })

  it('the days of UTC are counted apart', async () => {
    let now = new Date('2026-11-28T23:59:00Z')
    const clock = { now: () => now, monotonicMs: () => performance.now() }
    await using database = await openDatabase()
    await using process = openProcess(database, { agent: busyAgent(1), options: budgetOf(callTokens), clock })
    const { engine } = process
    await followAll(engine, await startRun(engine))
    await expect(startRun(engine)).rejects.toMatchObject({ data: { retryAfterMs: 60_000 } })
    now = new Date('2026-11-29T00:00:00Z')
    await followAll(engine, await startRun(engine))
    expect(await ledgerOf(database)).toMatchObject({ tokens: 2 * callTokens, shards: 2 })
  })
})

describe('budgets and crashes', () => {
  it('an answer that another process continues is counted once, without the call that was lost', async () => {
    await using database = await openDatabase()
    const gate = createGate()
    const made: string[] = []
    const agent: Agent = {
      id: 'steady',
      onCrash: 'continue',
      async *stream({ runId }, signal) {
        made.push(runId)
        yield* callOf('first. ', 'tool_use')
        yield* callOf('second. ', 'end_turn').slice(0, 3)
        if (made.length === 1) await gate.pass(signal)
        yield* callOf('', 'end_turn').slice(3)
      },
    }
    const options = budgetOf(10_000)
    await using lost = openCrashableEngine(database, { agents: [agent], options })
    const runId = await startRun(lost.engine)
    await gate.reached()
    await vi.waitFor(async () => expect((await ledgerOf(database)).tokens).toBe(callTokens), waitOptions)
    await lost.crash()
    await using process = openProcess(database, { agent, options })
    const events = await followAll(process.engine, runId)
    const end = events.at(-1)
    const next = end?.type === 'run_interrupted' ? end.continuedBy : undefined
    await followAll(process.engine, next ?? '')
    await expectIdle(process.engine)
    expect(made).toEqual([runId, next])
    expect((await ledgerOf(database)).tokens).toBe(callTokens + 2 * callTokens)
  })
})

describe('a budget of cost', () => {
  const opusCall = [
    { type: 'message_start', message: { model: 'claude-opus-5-5-20260901', usage: { input_tokens: 1_000_000 } } },
    ...answerOf(['Dear']).slice(1, -2),
    ...messageEnd('end_turn', 50_000),
  ] satisfies AgentEvent[]
  const agent: Agent = {
    id: 'opus',
    async *stream() {
      yield* opusCall
    },
  }

  it('a call costs what the table says of its model, for the principal and for the tenant', async () => {
    const budgets = { principal: { usdPerDay: 5 }, tenant: { usdPerDay: 9 } }
    await using test = await openOne({ agents: [agent], options: { budgets } })
    const { engine, database } = test
    await followAll(engine, await startRun(engine))
    expect((await ledgerOf(database)).costUsd).toBeCloseTo(5)
    expect((await ledgerOf(database, null)).costUsd).toBeCloseTo(5)
    await expect(startRun(engine)).rejects.toMatchObject(exceeded('principal_cost'))
    await followAll(engine, await startRun(engine, { owner: eve }), { owner: eve })
    const third = ownerOf({ userId: 'third', tenantId: 'default', scopes: [] })
    await expect(startRun(engine, { owner: third })).rejects.toMatchObject(exceeded('tenant_cost'))
  })

  it.each<[string, string, number]>([
    ['a model of the operator’s own table', 'claude-opus', 1.05],
    ['any model under *', '*', 1.05],
    ['a model without a price at the dearest', 'another-model', 1.05],
  ])('%s has its price', async (_name, model, cost) => {
    const prices = { [model]: { input: 1, output: 1, cacheRead: 1, cacheWrite: 1 } }
    await using test = await openOne({ agents: [agent], options: { budgets: { principal: { usdPerDay: 9 }, prices } } })
    await followAll(test.engine, await startRun(test.engine))
    expect((await ledgerOf(test.database)).costUsd).toBeCloseTo(cost)
  })
})

it('an export of a principal has what was counted, and an erasure removes it; the total of the tenant stays', async () => {
  const budgets = { principal: { tokensPerDay: 10_000 }, tenant: { tokensPerDay: 10_000 } }
  await using test = await openOne({ agents: [busyAgent(1)], options: { budgets, sweepMs: 600_000 } })
  const { engine, database } = test
  for (const owner of [ada, eve]) await followAll(engine, await startRun(engine, { owner }), { owner })
  await expectIdle(engine)
  const day = new Date().toISOString().slice(0, 10)
  expect(linesOf(await exportOf(engine, ada), 'usage')).toMatchObject([{ day, tokens: callTokens }])
  expect((await eraseNow(database.storage.principalRepository, ada)).counts).toMatchObject({ usageLedger: 1 })
  expect(await ledgerOf(database)).toMatchObject({ shards: 0 })
  expect(await ledgerOf(database, 'eve')).toMatchObject({ tokens: callTokens })
  expect(await ledgerOf(database, null)).toMatchObject({ tokens: 2 * callTokens })
})
