/**
 * What others can do to Ada's things (P7): nothing. Other principals call every procedure and every endpoint with all of
 * Ada's ids. Each answer is that of a thing that does not exist, and not one of her documents may change.
 */
import { createHash } from 'node:crypto'
import { textOf } from '@verbatim/core'
import type { Message, Page, Run, Session } from '@verbatim/core'
import { scriptedAgent } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, query } from '@verbatim/test-kit/http'
import { openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { manualAgent } from '../support/agents.ts'
import type { ManualAgent } from '../support/agents.ts'
import { followRaw } from '../support/frames.ts'

const secret = 'the treasure is under the oak'
const prompt = `Remember: ${secret}`
const sessionId = 'adas-session'
const busySessionId = 'adas-busy-session'

let app: App
/** Makes an answer of Ada's that is still going on while the others try. */
let hand: ManualAgent
let ended: Run
let running: Run
let documentsBefore: Map<string, string>

beforeAll(async () => {
  hand = manualAgent()
  const echo = scriptedAgent(({ messages }) => [`You said: ${textOf(messages.at(-1)?.content ?? [])}`])
  app = await openApp({ agents: [echo, hand], options: { startWaitMs: 200 } })
  const start = { runId: crypto.randomUUID(), sessionId, message: prompt }
  await app.mutate('runs.start', start)
  await followRaw(app, start.runId)
  ended = await app.query<Run>('runs.get', { runId: start.runId })
  const busy = { runId: crypto.randomUUID(), sessionId: busySessionId, message: secret, agentId: 'hand' }
  running = await app.mutate<Run>('runs.start', busy)
  hand.say('Well, ')
  await followRaw(app, running.id, { untilSeq: 4 }) // until that is stored
  documentsBefore = await documentsOf()
})
afterAll(async () => await app[Symbol.asyncDispose]())

/** Every document there is, by collection and id, as a digest. Leases are left out: their heartbeat is no change. */
async function documentsOf(): Promise<Map<string, string>> {
  const db = app.database.client.db(app.database.databaseName)
  const documents = new Map<string, string>()
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    for (const { lease: _lease, ...document } of await db.collection(name).find().toArray()) {
      const digest = createHash('sha256').update(JSON.stringify(document)).digest('hex')
      documents.set(`${name} ${JSON.stringify(document['_id'])}`, digest)
    }
  }
  return documents
}

async function expectUntouched(who: string, name: string): Promise<void> {
  const now = await documentsOf()
  const changed = [...documentsBefore].filter(([key, digest]) => now.get(key) !== digest).map(([key]) => key)
  expect([who, name, changed]).toEqual([who, name, []])
}

type Attack = (user: string | null) => Promise<Response>

/** Everything there is to call, with the ids of Ada's things, ended and going on. A procedure without a row fails a test. */
function everyAttack(): Record<string, Attack[]> {
  const procedure =
    (path: string, input: unknown): Attack =>
    async (user) =>
      await app.fetch(query(path, input), { user })
  const post =
    (path: string, input: unknown, headers: Record<string, string> = {}): Attack =>
    async (user) =>
      await app.fetch(path, { ...json(input, headers), user })
  const get =
    (path: string, headers: Record<string, string> = {}): Attack =>
    async (user) =>
      await app.fetch(path, { headers, user })
  const sessions = [sessionId, busySessionId]
  const runs = [ended, running]
  const byKey = runs.map(({ id }) => ({ 'idempotency-key': id }))
  const chat = { sessionId, message: 'What do you remember?' }
  return {
    'sessions.create': sessions.map((id) => post('/trpc/sessions.create', { sessionId: id, title: 'Mine' })),
    'sessions.get': sessions.map((id) => procedure('sessions.get', { sessionId: id })),
    'sessions.list': [procedure('sessions.list', {})],
    'sessions.update': sessions.map((id) => post('/trpc/sessions.update', { sessionId: id, title: 'Mine' })),
    'sessions.delete': sessions.map((id) => post('/trpc/sessions.delete', { sessionId: id })),
    'messages.list': sessions.map((id) => procedure('messages.list', { sessionId: id })),
    'messages.get': [ended.messageId, ended.userMessageId].map((messageId) =>
      procedure('messages.get', { sessionId, messageId }),
    ),
    'messages.append': [undefined, ended.messageId].map((messageId) =>
      post('/trpc/messages.append', { sessionId, role: 'user', content: 'I was here', messageId }),
    ),
    'runs.start': runs.map(({ id }) => post('/trpc/runs.start', { ...chat, runId: id })),
    'runs.follow': runs.map(({ id }) => procedure('runs.follow', { runId: id, lastEventId: `${id}:1` })),
    'runs.get': runs.map(({ id }) => procedure('runs.get', { runId: id })),
    'runs.list': sessions.map((id) => procedure('runs.list', { sessionId: id })),
    'runs.cancel': runs.map(({ id }) => post('/trpc/runs.cancel', { runId: id })),
    'runs.continue': runs.map(({ id }) => post('/trpc/runs.continue', { runId: id, newRunId: crypto.randomUUID() })),
    'runs.retry': runs.map(({ id }) => post('/trpc/runs.retry', { runId: id, newRunId: crypto.randomUUID() })),
    'audit.list': [procedure('audit.list', {})],
    'principals.erase': [post('/trpc/principals.erase', { userId: 'ada' })],
    'GET /principals/export': [get('/principals/export?userId=ada&tenantId=default')],
    'POST /chat/stream': [post('/chat/stream', chat), ...byKey.map((key) => post('/chat/stream', chat, key))],
    'POST /chat/sse': [
      post('/chat/sse', chat),
      ...byKey.map((key) => post('/chat/sse', chat, key)),
      ...runs.map(({ id }) => post('/chat/sse', chat, { 'last-event-id': `${id}:1` })),
    ],
    'GET /chat/sse/:runId': runs.flatMap(({ id }) => [
      get(`/chat/sse/${id}`),
      get(`/chat/sse/${id}`, { 'last-event-id': `${id}:1` }),
    ]),
    'GET /metrics': [get('/metrics')],
    'GET /health/ready': [get('/health/ready')],
    'GET /nowhere': [get(`/${sessionId}`)],
  }
}

/** The code that other principals receive; the calls that are not here make things of the caller's own. */
const codesForOthers: Record<string, string> = {
  'sessions.get': 'SESSION_NOT_FOUND',
  'sessions.update': 'SESSION_NOT_FOUND',
  'sessions.delete': 'SESSION_NOT_FOUND',
  'messages.list': 'SESSION_NOT_FOUND',
  'messages.get': 'MESSAGE_NOT_FOUND',
  'runs.follow': 'RUN_NOT_FOUND',
  'runs.get': 'RUN_NOT_FOUND',
  'runs.list': 'SESSION_NOT_FOUND',
  'runs.cancel': 'RUN_NOT_FOUND',
  'runs.continue': 'RUN_NOT_FOUND',
  'runs.retry': 'RUN_NOT_FOUND',
  'GET /chat/sse/:runId': 'RUN_NOT_FOUND',
  'audit.list': 'FORBIDDEN',
  'principals.erase': 'FORBIDDEN',
  'GET /principals/export': 'FORBIDDEN',
  'GET /metrics': 'FORBIDDEN',
}
const publicPaths = ['GET /health/ready', 'GET /nowhere']

/** A part of the answer that `user` must receive. */
function refusalOf(name: string, user: string | null): string {
  const code = user === null && !publicPaths.includes(name) ? 'UNAUTHENTICATED' : codesForOthers[name]
  return code === undefined ? '' : `"code":"${code}"`
}

describe('what is Ada’s', () => {
  it('the attacks cover every procedure of the API', () => {
    const attacked = Object.keys(everyAttack()).filter((name) => !name.includes(' '))
    // `sessions.follow` waits for what may come to be; that it shows nothing of others is in tests/core/follow-sessions.
    const procedures = Object.keys(app.api.router._def.procedures).filter((name) => name !== 'sessions.follow')
    expect(attacked.toSorted()).toEqual(procedures.toSorted())
    expect(documentsBefore.size).toBeGreaterThanOrEqual(7) // two sessions, three messages, two runs, and their events
  })

  // Reading and resuming first: afterwards the others have things of their own under the same ids.
  const isWrite = (name: string) => /create|append|start|POST/.test(name)

  it.each<[string, string | null]>([
    ['another user', 'bob'],
    ['a user of the same name in another tenant', 'globex/ada'],
    ['a caller without credentials', null],
  ])('%s can neither read nor change what belongs to Ada', async (who, user) => {
    const attacks = Object.entries(everyAttack()).toSorted(([a], [b]) => Number(isWrite(a)) - Number(isWrite(b)))
    for (const [name, calls] of attacks) {
      for (const attack of calls) {
        const text = await (await attack(user)).text()
        expect([who, name, text]).toEqual([who, name, expect.stringContaining(refusalOf(name, user))])
        const shown = [secret, running.messageId, running.userMessageId, 'Well, '].filter((part) => text.includes(part))
        expect([who, name, shown]).toEqual([who, name, []])
      }
      await expectUntouched(who, name)
    }
    expect(hand.wasStopped).toBe(false)
  })

  it('what the other principals then have holds nothing of Ada', async () => {
    for (const user of ['bob', 'globex/ada']) {
      const { items } = await app.query<Page<Message>>('messages.list', { sessionId }, user)
      expect(items.length).toBeGreaterThan(0)
      expect(items.filter(({ content }) => textOf(content) === prompt)).toEqual([])
      const sessions = await app.query<Page<Session>>('sessions.list', {}, user)
      expect(sessions.items.map(({ title }) => title)).toEqual(['Mine', 'Mine'])
    }
    expect(app.engine.stats().runsStarted).toBeGreaterThan(2)
  })

  it('Ada reads her messages as before, and her run goes on to its end', async () => {
    const { items } = await app.query<Page<Message>>('messages.list', { sessionId })
    expect(items.map(({ content }) => textOf(content))).toEqual([prompt, `You said: ${prompt}`])
    hand.say('no.')
    hand.end()
    const { events } = await followRaw(app, running.id)
    expect(events.at(-1)).toMatchObject({ type: 'run_completed', messageId: running.messageId })
    const { items: kept } = await app.query<Page<Message>>('messages.list', { sessionId: busySessionId })
    expect(kept.map(({ content }) => textOf(content))).toEqual([secret, 'Well, no.'])
  })
})
