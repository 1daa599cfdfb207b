/** What an agent knows of a run: who asks, in which session, and the run's input, in whichever process it is. */
import { maxRunInputBytes, ownerOf, VerbatimError } from '@verbatim/core'
import type { JsonValue } from '@verbatim/core'
import type { Agent, AgentRequest, Engine, RunScope } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { answerOf, manualAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'

const Order = z.strictObject({
  orderId: z.string(),
  urgent: z.boolean().default(false),
  lines: z.array(z.int()).max(3),
})
const order = { orderId: 'o-1', lines: [1, 2] }
const stored = { orderId: 'o-1', lines: [1, 2], urgent: false }

/** Remembers its requests; waits at the gate when it has one. */
function askedAgent({
  gate = createGate({ isOpen: true }),
  ...rest
}: Partial<Agent> & { gate?: ReturnType<typeof createGate> } = {}) {
  const requests: AgentRequest[] = []
  const agent: Agent = {
    id: 'asked',
    input: Order,
    ...rest,
    async *stream(request, signal) {
      requests.push(request)
      await gate.pass(signal)
      yield* answerOf(['Done.'])
    },
  }
  return { ...agent, requests }
}

function scopeOf({ runId, sessionId, principal, session, input }: AgentRequest): RunScope {
  return { runId, sessionId, principal, session, input }
}

const scope = {
  principal: { userId: 'ada', tenantId: 'default' },
  session: { id: 'session-1', title: 'Say something' },
  input: stored,
}

async function documents(database: TestDatabase): Promise<Record<string, number>> {
  const db = database.client.db(database.databaseName)
  const counts = ['sessions', 'messages', 'runs', 'run_events'].map(
    async (name) => [name, await db.collection(name).countDocuments()] as const,
  )
  return Object.fromEntries(await Promise.all(counts))
}

describe('a run of a known caller, with an input', () => {
  it('an agent receives who asks, the session and the input as its schema answers it', async () => {
    const agent = askedAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine, { input: order })
    await followAll(engine, runId)
    expect(agent.requests.map(scopeOf)).toEqual([{ runId, sessionId: 'session-1', ...scope }])
    const [prompt, answer] = (await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 9 })).items
    expect(prompt?.input).toEqual(stored)
    expect(answer).not.toHaveProperty('input')
    const acme = ownerOf({ userId: 'ada', tenantId: 'acme', scopes: [] })
    await engine.sessions.create(acme, { sessionId: 'named', title: 'Orders' })
    const other = await startRun(engine, { owner: acme, sessionId: 'named', input: order })
    await followAll(engine, other, { owner: acme })
    expect(agent.requests[1]).toMatchObject({
      principal: { userId: 'ada', tenantId: 'acme' },
      session: { id: 'named', title: 'Orders' },
    })
  })

  it('an agent receives its input again in a retry, and the title as it is then', async () => {
    const agent = askedAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine, { input: order })
    await followAll(engine, runId)
    await engine.sessions.update(ada, { sessionId: 'session-1', title: 'Renamed' })
    const newRunId = crypto.randomUUID()
    await engine.runs.retry(ada, { runId, newRunId })
    await followAll(engine, newRunId)
    expect(agent.requests[1]).toMatchObject({
      ...scope,
      runId: newRunId,
      session: { id: 'session-1', title: 'Renamed' },
    })
  })

  it('a queued run has its input when it is promoted, and one that is cancelled in the queue leaves none', async () => {
    const gate = createGate()
    const agent = askedAgent({ gate })
    await using test = await openOne({ agents: [agent] })
    const { engine, database } = test
    await startRun(engine, { input: { ...order, orderId: 'first' } })
    await gate.reached()
    const queue = async (orderId: string) => {
      const runId = crypto.randomUUID()
      await engine.runs.start(ada, {
        runId,
        sessionId: 'session-1',
        message: orderId,
        input: { ...order, orderId },
        whenBusy: 'queue',
      })
      return runId
    }
    const [second, third] = [await queue('second'), await queue('third')]
    await engine.runs.cancel(ada, third)
    gate.open()
    await followAll(engine, second)
    expect(agent.requests[1]).toMatchObject({ ...scope, runId: second, input: { ...stored, orderId: 'second' } })
    const runs = database.client.db(database.databaseName).collection('runs')
    expect(await runs.countDocuments({ input: { $exists: true } })).toBe(0)
    const page = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 9 })
    expect(page.items.map(({ input }) => input && (input as typeof stored).orderId)).toEqual([
      'first',
      undefined,
      'second',
      undefined,
    ])
  })

  it('a run that another process resumes has its principal, its session and its input', async () => {
    await using database = await openDatabase()
    const lost = askedAgent({ gate: createGate() })
    await using first = openCrashableEngine(database, { agents: [lost], options: shortLeases })
    const runId = await startRun(first.engine, { input: order })
    await vi.waitFor(() => expect(lost.requests).toHaveLength(1), waitOptions)
    await first.crash()
    const agent = askedAgent()
    await using engine = openEngine(database, { agents: [agent], options: shortLeases })
    await followAll(engine, runId)
    expect(agent.requests.map(scopeOf)).toEqual([{ runId, sessionId: 'session-1', ...scope }])
  })

  it('a run that continues a lost one has the input of the first, through two crashes', async () => {
    await using database = await openDatabase()
    let runId: string | null = null
    for (let crash = 0; crash < 2; crash++) {
      const speaker = manualAgent({ id: 'asked', input: Order, onCrash: 'continue' })
      await using process = openCrashableEngine(database, { agents: [speaker], options: shortLeases })
      runId ??= await startRun(process.engine, { input: order })
      await vi.waitFor(() => expect(speaker.requests).toHaveLength(1), waitOptions)
      speaker.say(`part ${crash}`)
      await vi.waitFor(() => expect(process.engine.stats().eventsCommitted).toBeGreaterThanOrEqual(3), waitOptions)
      await process.crash()
    }
    const agent = askedAgent({ onCrash: 'continue' })
    await using _engine = openEngine(database, { agents: [agent], options: shortLeases })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    expect(agent.requests[0]).toMatchObject(scope)
    expect(agent.requests[0]?.messages.map(({ input }) => input)).toEqual([
      stored,
      undefined,
      stored,
      undefined,
      stored,
    ])
  })

  it('a repeated start with the same input is the same run, and with another input it is refused', async () => {
    const agent = askedAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine, { input: order })
    await startRun(engine, { runId, input: order })
    for (const input of [{ ...order, orderId: 'o-2' }, undefined]) {
      const again = input === undefined ? {} : { input }
      await expect(startRun(engine, { runId, ...again })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    }
    await followAll(engine, runId)
    expect(agent.requests).toHaveLength(1)
  })

  it('a repeated start is the same run also where the agent takes such an input no more', async () => {
    await using database = await openDatabase()
    const runId = crypto.randomUUID()
    await using engine = openEngine(database, { agents: [askedAgent()] })
    await startRun(engine, { runId, input: order })
    await followAll(engine, runId)
    await using newer = openEngine(database, { agents: [askedAgent({ input: z.strictObject({ id: z.string() }) })] })
    await startRun(newer, { runId, input: order })
    await expect(startRun(newer, { input: order })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  })
})

const misfits: readonly { name: string; input?: JsonValue; code?: string; field: string }[] = [
  { name: 'a missing input', field: 'input' },
  { name: 'an input of another type', input: 'o-1', field: 'input' },
  { name: 'an input without a field', input: { orderId: 'o-1' }, field: 'input.lines' },
  { name: 'an input with a wrong value deep inside', input: { ...order, lines: [1, 1.5] }, field: 'input.lines.1' },
  { name: 'an input with an unknown field', input: { ...order, secret: 'x' }, field: 'input' },
  {
    name: 'an input over 64 KiB',
    input: { ...order, orderId: 'x'.repeat(maxRunInputBytes) },
    code: 'MESSAGE_TOO_LARGE',
    field: 'input',
  },
]

describe('an input that the agent does not take', () => {
  it.each(misfits)('$name is refused with its place, and nothing is stored', async (misfit) => {
    const { input, code = 'INVALID_INPUT', field } = misfit
    const agent = askedAgent()
    await using test = await openOne({ agents: [agent] })
    const refused = await start(test.engine, input).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(VerbatimError)
    expect(refused).toMatchObject({ code, data: { field } })
    expect(String(refused)).not.toContain('secret')
    expect(await documents(test.database)).toEqual({ sessions: 0, messages: 0, runs: 0, run_events: 0 })
    expect(agent.requests).toEqual([])
  })

  it('an agent without a schema refuses every input, null too', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    for (const input of [order, null, 0, '']) {
      await expect(start(test.engine, input)).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field: 'input' } })
    }
    expect(await documents(test.database)).toEqual({ sessions: 0, messages: 0, runs: 0, run_events: 0 })
  })

  it('a schema that answers no JSON is a fault of the server, and nothing is stored', async () => {
    const agent = askedAgent({ input: z.string().transform((text) => new Date(text)) })
    await using test = await openOne({ agents: [agent] })
    await expect(start(test.engine, '2026-01-01')).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    expect(await documents(test.database)).toEqual({ sessions: 0, messages: 0, runs: 0, run_events: 0 })
  })
})

it('an input of null and one of odd keys come to the agent as they were sent', async () => {
  const agent = askedAgent({ input: z.json() })
  await using test = await openOne({ agents: [agent] })
  const odd: JsonValue[] = [null, { _bsontype: 'ObjectId', 'a.b': 1, $set: [], '': {} }, [[[]]], 'text', 1.5, true]
  for (const input of odd) answerFrom(await followAll(test.engine, await startRun(test.engine, { input })))
  expect(agent.requests.map(({ input }) => input)).toEqual(odd)
})

async function start(engine: Engine, input: JsonValue | undefined): Promise<string> {
  return await startRun(engine, input === undefined ? {} : { input })
}
