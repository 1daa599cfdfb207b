/** P7: what another principal has is answered like what is not there, by every method of the engine. */
import { isVerbatimError, ownerOf, textOf } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openOne } from '../support/engine.ts'
import { documentsOf, eraseNow, exportOf } from '../support/principals.ts'
import { ada, answerFrom, eve, followAll, waitOptions, startRun } from '../support/follow.ts'

interface Target {
  readonly sessionId: string
  readonly runId: string
  readonly messageId: string
}

type Call = (engine: Engine, owner: Owner, target: Target) => Promise<unknown>

const page = { limit: 10 }

/** Every method that reads or changes what exists, by its path. A new one must be named here: see the last test. */
const calls: Record<string, Call> = {
  'sessions.get': async (engine, owner, { sessionId }) => await engine.sessions.get(owner, sessionId),
  'sessions.list': async (engine, owner) => await engine.sessions.list(owner, page),
  'sessions.update': async (engine, owner, { sessionId }) =>
    await engine.sessions.update(owner, { sessionId, title: 'x' }),
  'sessions.delete': async (engine, owner, { sessionId }) => await engine.sessions.delete(owner, { sessionId }),
  'messages.list': async (engine, owner, { sessionId }) =>
    await engine.messages.list(owner, sessionId, { ...page, order: 'newest' }),
  'messages.get': async (engine, owner, { sessionId, messageId }) =>
    await engine.messages.get(owner, sessionId, messageId),
  'messages.redact': async (engine, owner, { sessionId, messageId }) =>
    await engine.messages.redact(owner, { sessionId, messageId, content: 'x' }),
  'agentStates.read': async (engine, owner, { sessionId }) =>
    await engine.agentStates.read(owner, { sessionId, name: 'notes' }),
  'agentStates.write': async (engine, owner, { sessionId }) =>
    await engine.agentStates.write(owner, { sessionId, name: 'notes', state: {}, expectedRevision: 0 }),
  'runs.get': async (engine, owner, { runId }) => await engine.runs.get(owner, runId),
  'runs.list': async (engine, owner, { sessionId }) => await engine.runs.list(owner, sessionId, page),
  'runs.cancel': async (engine, owner, { runId }) => await engine.runs.cancel(owner, runId),
  'runs.continue': async (engine, owner, { runId }) =>
    await engine.runs.continue(owner, { runId, newRunId: crypto.randomUUID() }),
  'runs.retry': async (engine, owner, { runId }) =>
    await engine.runs.retry(owner, { runId, newRunId: crypto.randomUUID() }),
  'runs.follow': async (engine, owner, { runId }) => await followAll(engine, runId, { owner }),
  'audit.list': async (engine, owner) => await engine.audit.list({ ...page, tenantId: owner.tenantId }),
  'runs.follow from a cursor': async (engine, owner, { runId }) => await followAll(engine, runId, { owner, after: 1 }),
}

/** Methods that take all of one owner; they name nothing of another, and have tests of their own. */
const ofOneOwner = ['principals.export', 'principals.erase', 'sessions.follow']

/** Methods that make things: a foreign id is free to use, and makes one of the caller's own. */
const makers = ['sessions.create', 'messages.append', 'runs.start', 'audit.record']

async function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  return await call.catch((error: unknown) => {
    if (!isVerbatimError(error)) throw error
    return error.toWire()
  })
}

describe('another principal', () => {
  it.each(Object.entries(calls))(
    '%s answers another principal exactly as if nothing were there',
    async (_path, call) => {
      const agent = manualAgent()
      await using test = await openOne({ agents: [agent], options: { startWaitMs: 200 } })
      const { engine } = test
      const runId = await startRun(engine, { message: 'My secret' })
      agent.say('Her secret answer')
      await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
      const run = await engine.runs.get(ada, runId)
      const before = await stateOf(test.database)
      const foreign = { sessionId: run.sessionId, runId, messageId: run.userMessageId }
      const missing = { sessionId: 'nowhere', runId: crypto.randomUUID(), messageId: crypto.randomUUID() }
      const sameUser = ownerOf({ userId: 'ada', tenantId: 'another', scopes: [] })
      for (const owner of [eve, sameUser]) {
        const asForeign = await outcomeOf(call(engine, owner, foreign))
        expect(asForeign).toEqual(await outcomeOf(call(engine, owner, missing)))
        expect(JSON.stringify(asForeign)).not.toContain('secret')
      }
      expect(await stateOf(test.database)).toEqual(before)
      agent.end()
      expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
    },
  )

  it('another principal may use the same ids for things of her own', async () => {
    await using test = await openOne({
      agents: [
        {
          id: 'echo',
          async *stream({ messages }) {
            yield* answerOf([`You said: ${messages.map((message) => textOf(message.content)).join('|')}`])
          },
        },
      ],
    })
    const { engine } = test
    const runId = crypto.randomUUID()
    const messageId = crypto.randomUUID()
    const owners = [ada, eve, ownerOf({ userId: 'ada', tenantId: 'another', scopes: [] })]
    const names = ['ada', 'eve', 'ada of another tenant']
    await Promise.all(
      owners.map(async (owner, at) => {
        const message = { sessionId: 'session-1', messageId, role: 'user' as const, content: `I am ${names[at]}` }
        await engine.messages.append(owner, message)
        await engine.sessions.update(owner, { sessionId: 'session-1', title: `Of ${names[at]}` })
        await startRun(engine, { runId, owner, message: 'Who am I?' })
      }),
    )
    for (const [at, owner] of owners.entries()) {
      const answer = answerFrom(await followAll(engine, runId, { owner }))
      expect(textOf(answer.content)).toBe(`You said: I am ${names[at]}|Who am I?`)
      const { items } = await engine.messages.list(owner, 'session-1', { order: 'oldest', limit: 10 })
      expect(items).toHaveLength(3)
      expect((await engine.sessions.list(owner, page)).items).toMatchObject([
        { id: 'session-1', title: `Of ${names[at]}` },
      ])
    }
  })

  it('an export and an erasure of another principal take nothing of what Ada has', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf(['Her secret answer']))] })
    const { engine, database } = test
    await followAll(engine, await startRun(engine, { message: 'My secret' }))
    const before = await documentsOf(database, ada)
    const sameUser = ownerOf({ userId: 'ada', tenantId: 'another', scopes: [] })
    const sameText = ownerOf({ userId: 'lt","ada', tenantId: 'defau', scopes: [] })
    for (const owner of [eve, sameUser, sameText]) {
      const lines = await exportOf(engine, owner)
      expect(lines.map((line) => line.type)).toEqual(['header', 'audit', 'trailer'])
      expect(JSON.stringify(lines)).not.toContain('secret')
      expect(await eraseNow(database.storage.principalRepository, owner)).toMatchObject({
        status: 'erased',
        counts: {},
      })
    }
    expect(await documentsOf(database, ada)).toEqual(before)
  })

  it('two principals stay apart even when their ids concatenate to the same text', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { engine } = test
    const one = ownerOf({ userId: 'b","c', tenantId: 'a', scopes: [] })
    const two = ownerOf({ userId: 'c', tenantId: 'a","b', scopes: [] })
    await engine.sessions.create(one, { sessionId: 'session-1' })
    await expect(engine.sessions.get(two, 'session-1')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    expect((await engine.sessions.list(two, page)).items).toEqual([])
  })

  it('the isolation test covers every method of the engine', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { sessions, messages, agentStates, runs, audit, principals } = test.engine
    const paths = Object.entries({ sessions, messages, agentStates, runs, audit, principals }).flatMap(
      ([noun, methods]) => Object.keys(methods).map((verb) => `${noun}.${verb}`),
    )
    const tried = [...Object.keys(calls), ...makers, ...ofOneOwner]
    expect(paths.filter((path) => !tried.includes(path))).toEqual([])
  })
})

/** All that is stored, without what the running engine itself keeps renewing. */
async function stateOf(database: Awaited<ReturnType<typeof openOne>>['database']): Promise<unknown> {
  const db = database.client.db(database.databaseName)
  const names = ['sessions', 'messages', 'runs', 'run_events', 'audit']
  return await Promise.all(
    names.map(
      async (name) =>
        await db
          .collection(name)
          .find({}, { projection: { lease: 0 } })
          .toArray(),
    ),
  )
}
