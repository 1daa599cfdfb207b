/**
 * mongod writes a statement into its own log when it fails, meets another transaction or is slow, and the log outlives every deletion.
 * So no statement holds what people and models write, but inserts, of which mongod logs no document. Our own log holds none of it either.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createApi } from '@verbatim/api'
import type { AgentEvent } from '@verbatim/core'
import { createEngine } from '@verbatim/core/server'
import type { Engine, Logger } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { startMongod } from '@verbatim/embedded-mongodb'
import type { EmbeddedMongod } from '@verbatim/embedded-mongodb'
import { json, serve } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, messageEnd, messageStart, textDelta } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { expireLeases, shortLeases } from '../support/engine.ts'
import { env } from '../support/env.ts'
import { ada, followAll, waitOptions } from '../support/follow.ts'

/** In everything that a person or a model writes here; another one in each test. */
let secret = ''

const options = { ...shortLeases, recoveryMs: 50, archiveDelayMs: 1, eventRetentionMs: 1, sweepMs: 50 }

let mongod: EmbeddedMongod
/** What our own parts log. */
const lines: string[] = []
const logger: Logger = { info: note, warn: note, error: note }

function note(fields: unknown, message: string): void {
  lines.push(`${message} ${JSON.stringify(fields)}`)
}

beforeEach(() => {
  secret = `secret-${crypto.randomUUID()}`
})

beforeAll(async () => {
  mongod = await startMongod({ env, setParameters: { enableTestCommands: 1 } })
})

afterAll(async () => {
  await mongod.stop()
})

/** @param slowMs mongod logs each statement that takes longer; -1 is all of them */
async function openLogged(slowMs: number): Promise<TestDatabase> {
  const database = await openTestDatabase(mongod.uri)
  await database.client.db('admin').command({ profile: 0, slowms: slowMs })
  return database
}

async function mongodLog(): Promise<string[]> {
  return (await readFile(join(mongod.dataDir, 'mongod.log'), 'utf8')).split('\n')
}

/** The beginnings of the lines that say what must not be said. */
async function tellingLines(): Promise<string[]> {
  return [...(await mongodLog()), ...lines].filter((line) => line.includes(secret)).map((line) => line.slice(0, 400))
}

/** Every kind of content that an agent writes. */
const talkative = (): AgentEvent[] => [
  messageStart(3),
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: secret } },
  textDelta(secret),
  { type: 'content_block_stop', index: 0 },
  { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'call-1', name: 'look', input: {} } },
  {
    type: 'content_block_delta',
    index: 1,
    delta: { type: 'input_json_delta', partial_json: JSON.stringify({ [secret]: secret }) },
  },
  { type: 'content_block_stop', index: 1 },
  ...messageEnd('tool_use', 5),
  { type: 'tool_result', tool_use_id: 'call-1', content: secret, is_error: false, durationMs: 1 },
  ...answerOf([secret]),
]

it('no statement that mongod logs, and no line of ours, holds what people and models write, on any path of a session', async () => {
  await using database = await openLogged(-1)
  const agent = manualAgent({ onCrash: 'continue' })
  const { engine, crash } = openCrashableEngine(database, { agents: [agent], options, wrap: () => ({ logger }) })
  await useSessions(engine)
  await endInEveryWay(engine, agent, database)
  const lost = await start(engine, 'lost')
  await vi.waitFor(() => expect(agent.requests.at(-1)?.runId).toBe(lost), waitOptions)
  agent.say(secret)
  await vi.waitFor(() => expect(engine.stats().pendingBytes).toBe(0), waitOptions)
  await crash()

  const taker = manualAgent({ onCrash: 'continue' })
  await using second = createEngine({ ...database.storage, agents: [taker], logger }, options)
  await expireLeases(database)
  await vi.waitFor(() => expect(taker.requests).toHaveLength(1), waitOptions)
  taker.yieldNext(...talkative())
  taker.end()
  await vi.waitFor(() => expect(second.stats().runsActive).toBe(0), waitOptions)
  const db = database.client.db(database.databaseName)
  await vi.waitFor(async () => expect(await db.collection('audit').countDocuments()).toBeGreaterThan(0), waitOptions)
  for (const { id } of (await second.sessions.list(ada, { limit: 50 })).items)
    await second.sessions.delete(ada, { sessionId: id })
  await vi.waitFor(async () => expect(await db.collection('messages').countDocuments()).toBe(0), waitOptions)

  // mongod has logged it all: each collection, each kind of statement.
  const logged = (await mongodLog()).filter((line) => line.includes(database.databaseName)).join('\n')
  for (const name of ['sessions', 'messages', 'agent_states', 'runs', 'run_events', 'run_archives', 'audit']) {
    expect(logged).toContain(`"ns":"${database.databaseName}.${name}"`)
  }
  for (const kind of ['update', 'findAndModify', 'insert', 'delete', 'find'])
    expect(logged).toMatch(new RegExp(`"${kind}"`))
  expect(await tellingLines()).toEqual([])
}, 120_000)

async function start(engine: Engine, sessionId: string, whenBusy: 'reject' | 'queue' | 'replace' = 'reject') {
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { runId, sessionId, message: `${secret}\n${secret}`, whenBusy })
  return runId
}

async function useSessions(engine: Engine): Promise<void> {
  const { sessions, messages, agentStates } = engine
  await sessions.create(ada, { sessionId: 'titled', title: secret })
  await sessions.create(ada, { sessionId: 'titled', title: secret })
  await sessions.update(ada, { sessionId: 'titled', title: `${secret} again` })
  const message = { sessionId: 'titled', role: 'user', content: [{ type: 'text', text: secret }] } as const
  const messageId = crypto.randomUUID()
  await messages.append(ada, { ...message, messageId })
  await messages.append(ada, { ...message, messageId })
  await messages.append(ada, { ...message, expectedHead: 7 }).catch(() => {})
  await messages.append(ada, { ...message, messageId, role: 'assistant' }).catch(() => {})
  await messages.list(ada, 'titled', { order: 'oldest', limit: 5 })
  await messages.redact(ada, { sessionId: 'titled', messageId, content: `${secret} redacted` })
  const state = { sessionId: 'titled', name: 'notes', state: secret }
  await Promise.allSettled([0, 0, 1].map((expectedRevision) => agentStates.write(ada, { ...state, expectedRevision })))
}

/** Runs that wait, replace, complete, fail, are cancelled, retried, refused by the database, and archived. */
async function endInEveryWay(engine: Engine, agent: ReturnType<typeof manualAgent>, database: TestDatabase) {
  const active = await start(engine, 'busy')
  await expect(start(engine, 'busy')).rejects.toMatchObject({ code: 'SESSION_BUSY' })
  const waiting = await start(engine, 'busy', 'queue')
  await start(engine, 'busy', 'queue')
  await engine.runs.cancel(ada, waiting)
  const replacing = await start(engine, 'busy', 'replace')
  await followAll(engine, active)
  await vi.waitFor(() => expect(agent.requests.at(-1)?.runId).toBe(replacing), waitOptions)
  agent.yieldNext(...talkative())
  agent.end()
  await followAll(engine, replacing)

  const failing = await start(engine, 'fails')
  agent.say(secret)
  agent.fail(new Error(secret))
  await followAll(engine, failing)
  const newRunId = crypto.randomUUID()
  await engine.runs.retry(ada, { runId: failing, newRunId })
  agent.yieldNext(...talkative(), { type: 'message_stop', [secret]: secret } as never) // no event of the protocol
  await followAll(engine, newRunId)

  const admin = database.client.db('admin')
  const refused = await start(engine, 'refused')
  await vi.waitFor(() => expect(agent.requests.at(-1)?.runId).toBe(refused), waitOptions)
  const namespace = `${database.databaseName}.messages`
  const data = { failCommands: ['insert'], namespace, errorCode: 10_334 }
  await admin.command({ configureFailPoint: 'failCommand', mode: { times: 1 }, data })
  agent.yieldNext(...talkative())
  agent.end()
  await followAll(engine, refused)
  await vi.waitFor(async () => {
    const left = await database.client.db(database.databaseName).collection('runs').countDocuments({ toArchive: true })
    expect(left).toBe(0)
  }, waitOptions)
}

it('starts, appends and renames that meet in a session, new or busy, leave no word in the log of MongoDB', async () => {
  // As a server is set up: only what fails or conflicts is logged.
  await using database = await openLogged(60_000)
  const agent = manualAgent()
  const open = () => createEngine({ ...database.storage, agents: [agent], logger }, options)
  await using here = open()
  await using there = open()
  for (const sessionId of ['session-1', 'session-2', 'session-3']) {
    const calls = Array.from({ length: 24 }, async (_, at) => {
      const engine = at % 2 ? here : there
      if (at % 6 === 4) return await engine.sessions.update(ada, { sessionId, title: `${secret} ${at}` })
      if (at % 6 === 5) return await engine.sessions.create(ada, { sessionId, title: secret })
      return await start(engine, sessionId, (['reject', 'queue', 'replace'] as const)[at % 3])
    })
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes.some((outcome) => outcome.status === 'fulfilled')).toBe(true)
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused.map(({ reason }) => `${reason} ${JSON.stringify(reason)}`).join(' ')).not.toContain(secret)
  }
  expect(await tellingLines()).toEqual([])
})

it('a call that is refused or fails leaves none of its input in our log', async () => {
  await using database = await openLogged(60_000)
  const agent = manualAgent()
  await using engine = createEngine({ ...database.storage, agents: [agent], logger }, options)
  const authenticate = () => {
    throw new Error(secret)
  }
  for (const identify of [() => ({ userId: 'ada' }), authenticate]) {
    await using site = await serve(createApi({ engine, authenticate: identify, logger }))
    for (const [path, input] of [
      ['runs.start', { sessionId: secret, runId: secret, message: secret }],
      ['runs.start', { sessionId: 's', runId: crypto.randomUUID(), message: secret, agentId: secret }],
      ['runs.start', { sessionId: 's', runId: crypto.randomUUID(), message: `${secret}\u0000` }],
      ['messages.append', { sessionId: 's', role: 'user', content: [{ type: secret }], [secret]: secret }],
      ['sessions.update', { sessionId: 'none', title: secret }],
    ] as const) {
      await (await site.fetch(`/trpc/${path}`, json(input))).text()
    }
    await (await site.fetch('/chat/stream', { ...json({}), body: `{"message":"${secret}` })).text()
    await (await site.fetch(`/trpc/${secret}?input=${secret}`)).text()
  }
  expect(await tellingLines()).toEqual([])
})
