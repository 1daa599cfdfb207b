/** Nobody sees another's session (P7), nothing is public by oversight, faults are masked. */
import { errorTable } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { allFrames, json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canary } from './testing/prompted-agent.ts'
import { outcomeOf } from './testing/outcome-of.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi
let alices: { sessionId: string; runId: string; messageId: string }

beforeAll(async () => {
  app = await openTestApi()
  const sessionId = 'alices-session'
  const runId = await app.startRun('my secret plan', sessionId)
  await allFrames(await app.fetch(`/chat/sse/${runId}`))
  const list = await app.fetch(query('messages.list', { sessionId }))
  const { result } = (await list.json()) as { result: { data: { items: { id: string }[] } } }
  await app.startRun('my secret plan to throw away', 'alices-other-session')
  alices = { sessionId, runId, messageId: result.data.items[0]?.id ?? '' }
})
afterAll(async () => await app[Symbol.asyncDispose]())

interface Call {
  /** What the call answers to its owner, to another principal and to nobody; undefined for success. */
  readonly owner: string | undefined
  readonly other: string | undefined
  readonly call: (user: string | null) => Promise<Response>
}

/** One call of everything there is, on things of Alice. What Bob may do, he does in his own space. */
function everyCall(): Record<string, Call> {
  const { sessionId, runId, messageId } = alices
  const get = (path: string, input: unknown) => async (user: string | null) =>
    await app.fetch(query(path, input), { user })
  const post = (path: string, input: unknown) => async (user: string | null) =>
    await app.fetch(path, { ...json(input), user })
  const open = { owner: undefined, other: undefined }
  const hidden = (code: string) => ({ owner: undefined, other: code })
  return {
    'sessions.create': { ...open, call: post('/trpc/sessions.create', { sessionId: 'fresh' }) },
    'sessions.get': { ...hidden('SESSION_NOT_FOUND'), call: get('sessions.get', { sessionId }) },
    'sessions.list': { ...open, call: get('sessions.list', {}) },
    'sessions.update': {
      ...hidden('SESSION_NOT_FOUND'),
      call: post('/trpc/sessions.update', { sessionId, title: 'Plan' }),
    },
    'sessions.delete': {
      ...hidden('SESSION_NOT_FOUND'),
      call: post('/trpc/sessions.delete', { sessionId: 'alices-other-session' }),
    },
    'messages.list': { ...hidden('SESSION_NOT_FOUND'), call: get('messages.list', { sessionId }) },
    'messages.get': { ...hidden('MESSAGE_NOT_FOUND'), call: get('messages.get', { sessionId, messageId }) },
    'messages.append': {
      ...open,
      call: post('/trpc/messages.append', { sessionId: 'appended', role: 'user', content: 'hello' }),
    },
    // A run id is its owner's own: Bob's run of the same id is another run.
    'runs.start': {
      owner: undefined,
      other: undefined,
      call: post('/trpc/runs.start', { sessionId, runId, message: 'my secret plan' }),
    },
    'runs.follow': { ...hidden('RUN_NOT_FOUND'), call: get('runs.follow', { runId }) },
    'runs.get': { ...hidden('RUN_NOT_FOUND'), call: get('runs.get', { runId }) },
    'runs.list': { ...hidden('SESSION_NOT_FOUND'), call: get('runs.list', { sessionId }) },
    'runs.cancel': { ...hidden('RUN_NOT_FOUND'), call: post('/trpc/runs.cancel', { runId }) },
    'runs.retry': {
      owner: 'RUN_NOT_RETRYABLE',
      other: 'RUN_NOT_FOUND',
      call: post('/trpc/runs.retry', { runId, newRunId: crypto.randomUUID() }),
    },
    'POST /chat/stream': {
      ...open,
      call: post('/chat/stream', { sessionId: `c-${crypto.randomUUID()}`, message: 'hi' }),
    },
    'POST /chat/sse': { ...open, call: post('/chat/sse', { sessionId: `c-${crypto.randomUUID()}`, message: 'hi' }) },
    'GET /chat/sse/:runId': {
      ...hidden('RUN_NOT_FOUND'),
      call: async (user) => await app.fetch(`/chat/sse/${runId}`, { user }),
    },
    'GET /metrics': {
      owner: 'FORBIDDEN',
      other: 'FORBIDDEN',
      call: async (user) => await app.fetch('/metrics', { user }),
    },
  }
}

describe('isolation', () => {
  it('is checked for every procedure that there is', () => {
    const checked = Object.keys(everyCall()).filter((name) => !name.includes(' '))
    expect(checked.toSorted()).toEqual(Object.keys(app.api.router._def.procedures).toSorted())
  })

  it('lets nobody in anywhere', async () => {
    for (const [name, { call }] of Object.entries(everyCall())) {
      const { status, code } = await outcomeOf(await call(null))
      const isFollow = name === 'runs.follow' // tRPC's streams carry refusals inside
      expect([name, status, code]).toEqual([name, isFollow ? 200 : 401, 'UNAUTHENTICATED'])
    }
  })

  it('shows another principal nothing, not even that it exists', async () => {
    // Before Bob makes his own things of the same names.
    const calls = Object.entries(everyCall()).toSorted(
      ([, a], [, b]) => Number(a.other === undefined) - Number(b.other === undefined),
    )
    for (const [name, { other, call }] of calls) {
      const { code, text } = await outcomeOf(await call('bob'))
      expect([name, code]).toEqual([name, other])
      expect([name, text.includes('secret plan')]).toEqual([name, false])
    }
  })

  it('answers a foreign id exactly as one that does not exist', async () => {
    const missing = await outcomeOf(
      await app.fetch(query('runs.get', { runId: crypto.randomUUID() }), { user: 'mallory' }),
    )
    const foreign = await outcomeOf(await app.fetch(query('runs.get', { runId: alices.runId }), { user: 'mallory' }))
    expect(foreign).toEqual(missing)
  })

  it('lets the owner do it all', async () => {
    for (const [name, { owner, call }] of Object.entries(everyCall())) {
      expect([name, (await outcomeOf(await call('alice'))).code]).toEqual([name, owner])
    }
  })
})

describe('faults', () => {
  it('never show what they are, anywhere, and are found in the log by their correlation id', async () => {
    const fail = async (): Promise<never> => await Promise.reject(new Error(canary))
    await using broken = await openTestApi({ metrics: 'public', wrapEngine: (engine) => brokenEngine(engine, fail) })
    const responses = await Promise.all([
      broken.fetch(query('sessions.list', {})),
      broken.fetch(`/trpc/sessions.list,sessions.list?batch=1&input=${encodeURIComponent('{"0":{},"1":{}}')}`),
      broken.fetch(query('runs.follow', { runId: crypto.randomUUID() })),
      broken.fetch(`/chat/sse/${crypto.randomUUID()}`),
      broken.fetch('/chat/stream', json({ sessionId: 's', message: 'hi' })),
    ])
    for (const response of responses) {
      const body = await response.text()
      expect(body).not.toContain('CANARY')
      expect(body).not.toContain('node_modules')
      const correlationId = /"correlationId":"([^"]+)"/.exec(body)?.[1]
      expect([response.url, broken.logged.some((line) => line['correlationId'] === correlationId)]).toEqual([
        response.url,
        true,
      ])
      expect(correlationId).toBeDefined()
    }
    const ready = await broken.fetch('/health/ready')
    expect([ready.status, (await ready.text()).includes('CANARY')]).toEqual([503, false])
    expect(JSON.stringify(broken.logged)).not.toContain('CANARY')
  })

  it('of authentication are masked as well', async () => {
    await using broken = await openTestApi({
      authenticate: () => {
        throw new Error(canary)
      },
    })
    for (const path of [query('sessions.list', {}), '/metrics', `/chat/sse/${crypto.randomUUID()}`]) {
      const outcome = await outcomeOf(await broken.fetch(path))
      expect([outcome.status, outcome.code]).toEqual([500, 'INTERNAL'])
      expect(outcome.text).not.toContain('CANARY')
    }
    expect(JSON.stringify(broken.logged)).not.toContain('CANARY')
  })

  it('have a status and a tRPC code for every row of the table', () => {
    for (const { httpStatus, trpcCode } of Object.values(errorTable)) {
      expect(httpStatus).toBeGreaterThanOrEqual(400)
      expect(trpcCode).toMatch(/^[A-Z_]+$/)
    }
  })
})

function brokenEngine(engine: Engine, fail: () => Promise<never>): Engine {
  return {
    ...engine,
    agentIds: engine.agentIds,
    draining: engine.draining,
    stats: () => engine.stats(),
    ready: fail,
    drain: fail,
    close: fail,
    [Symbol.asyncDispose]: fail,
    messages: engine.messages,
    sessions: { ...engine.sessions, list: fail },
    runs: {
      ...engine.runs,
      start: fail,
      get: fail,
      async *follow() {
        yield await fail()
      },
    },
  }
}
