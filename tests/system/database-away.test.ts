/** The database dies or hangs under a server with readers: calls fail in time, and nothing restarts when the database is back. */
import { isVerbatimError, textOf } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import { describe, expect, it } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { startAwakeClock } from '../support/awake-clock.ts'
import { env } from '../support/env.ts'
import { followRaw } from '../support/frames.ts'

/** What is promised is 5 s; the rest is for the way between the server's answer and our clock. */
const withinMs = 6_000

/** Every procedure that asks the database something, but for runs.follow, which is a stream. */
function everyCall(app: App, runId: string): Record<string, () => Promise<unknown>> {
  const sessionId = 'session-1'
  const newId = () => crypto.randomUUID()
  return {
    'sessions.create': () => app.mutate('sessions.create', { sessionId: newId() }),
    'sessions.get': () => app.query('sessions.get', { sessionId }),
    'sessions.list': () => app.query('sessions.list', {}),
    'sessions.update': () => app.mutate('sessions.update', { sessionId, title: 'Away' }),
    'sessions.delete': () => app.mutate('sessions.delete', { sessionId: newId() }),
    'messages.list': () => app.query('messages.list', { sessionId }),
    'messages.get': () => app.query('messages.get', { sessionId, messageId: newId() }),
    'messages.append': () => app.mutate('messages.append', { sessionId: 'other', role: 'user', content: 'Hi' }),
    'runs.start': () => app.mutate('runs.start', { sessionId: 'other', runId: newId(), message: 'Hi' }),
    'runs.get': () => app.query('runs.get', { runId }),
    'runs.list': () => app.query('runs.list', { sessionId }),
    'runs.cancel': () => app.mutate('runs.cancel', { runId: newId() }),
    'runs.retry': () => app.mutate('runs.retry', { runId: newId(), newRunId: newId() }),
    'runs.continue': () => app.mutate('runs.continue', { runId: newId(), newRunId: newId() }),
    'audit.list': () => app.query('audit.list', {}, 'operator'),
    'principals.erase': () => app.mutate('principals.erase', { userId: newId() }, 'operator'),
  }
}

async function readAll(texts: AsyncIterable<string>): Promise<string> {
  let whole = ''
  for await (const text of texts) whole += text
  return whole
}

async function outcomeOf(call: () => Promise<unknown>): Promise<{ code: string; retryAfterMs: unknown; ms: number }> {
  using clock = startAwakeClock()
  const error: unknown = await call().then(
    () => 'answered',
    (reason: unknown) => reason,
  )
  const { ms } = clock
  return isVerbatimError(error)
    ? { code: error.code, retryAfterMs: error.data.retryAfterMs, ms }
    : { code: String(error), retryAfterMs: undefined, ms }
}

describe.each([
  { how: 'is dead', stop: 'SIGKILL' },
  { how: 'hangs', stop: 'SIGSTOP' },
] as const)('a database that $how', ({ stop }) => {
  it('every call answers UNAVAILABLE in time while the database is away, and readers go on when it is back', async () => {
    await using mongo = await startReplicaSet({ env, nodes: 1 })
    await using database = await openTestDatabase(mongo.uri)
    const agent = manualAgent()
    // The writer bears it however long the database takes to come back on a busy machine.
    const options = { selfFenceMs: 60_000, leaseMs: 80_000 }
    await using app = await openApp({ database, agents: [agent], options })
    const run = app.client().chat('session-1').send('Go on through this')
    const reading = readAll(run.text)
    agent.say('Before, ')
    await followRaw(app, run.id, { untilSeq: 3 })

    const calls = everyCall(app, run.id)
    expect(Object.keys(calls).toSorted()).toEqual(
      Object.keys(app.api.router._def.procedures)
        .filter((name) => !name.endsWith('.follow')) // streams, which wait
        .toSorted(),
    )
    await mongo.kill(0, stop)
    agent.say('during, ')
    const outcomes = await Promise.all(
      Object.entries(calls).map(async ([name, call]) => ({ name, ...(await outcomeOf(call)) })),
    )
    for (const { name, code, retryAfterMs, ms } of outcomes) {
      expect({ name, code, retryAfterMs, isInTime: ms < withinMs }).toEqual({
        name,
        code: 'UNAVAILABLE',
        retryAfterMs: expect.any(Number),
        isInTime: true,
      })
    }
    expect((await app.fetch('/health/ready')).status).toBe(503)
    expect((await app.fetch('/health/live')).status).toBe(200)

    if (stop === 'SIGKILL') await mongo.restart(0)
    else await mongo.kill(0, 'SIGCONT')
    agent.say('after.')
    agent.end()
    expect(await reading).toBe('Before, during, after.')
    const message = await run.message
    expect([message.status, textOf(message.content)]).toEqual(['completed', 'Before, during, after.'])
    await expect.poll(async () => (await app.fetch('/health/ready')).status).toBe(200)
    await calls['sessions.create']?.()
  }, 90_000)
})
