/** The calls of one principal take turns, so that no caller's calls hold up another's. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { ownerOf } from '@verbatim/core'
import { createGate } from '@verbatim/core/testing'
import { query } from '@verbatim/test-kit/http'
import { expect, it, vi } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const list = query('sessions.list', {})
const few = { maxCallsPerPrincipal: 2, maxWaitingCallsPerPrincipal: 3 }

/** An API whose lists of sessions wait for the test; `asked` are the lists in work or done. */
async function openHeldApi() {
  const gate = createGate()
  const asked: string[] = []
  const app = await openTestApi({
    ...few,
    replaceParts: ({ sessions }) => ({
      sessions: {
        ...sessions,
        async list(owner, page) {
          asked.push(owner.ownerId)
          if (owner.ownerId === 'alice') await gate.pass(AbortSignal.timeout(20_000))
          return await sessions.list(owner, page)
        },
      },
    }),
  })
  return { app, gate, asked }
}

/** Resolves when the server has seen that its callers left. */
async function allClosed({ server }: TestApi): Promise<void> {
  const countConnections = async () =>
    await new Promise<number>((resolve, reject) => {
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
    })
  await expect.poll(countConnections).toBe(0)
}

it('a few calls of a principal are in work, some wait, one more is refused, and another principal is answered', async () => {
  const { app, gate, asked } = await openHeldApi()
  await using _ = app
  const calls = Array.from({ length: 6 }, async () => await readOutcome(await app.fetch(list)))
  expect(await Promise.race(calls)).toMatchObject({ status: 429, code: 'RATE_LIMITED' })
  await vi.waitFor(() => expect(asked).toEqual(['alice', 'alice']))
  expect(await readOutcome(await app.fetch(list, { user: 'bob' }))).toMatchObject({ status: 200 })
  expect(asked).toEqual(['alice', 'alice', 'bob'])
  gate.open()
  const statuses = (await Promise.all(calls)).map(({ status }) => status)
  expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 200, 200, 200, 200, 429])
  expect(asked).toHaveLength(6)
})

it('a call whose caller leaves ends its turn, whether it is in work or waits', async () => {
  const { app, gate, asked } = await openHeldApi()
  await using _ = app
  const leaving = new AbortController()
  const left = Array.from({ length: 4 }, async () => await app.fetch(list, { signal: leaving.signal }))
  await vi.waitFor(() => expect(asked).toHaveLength(2))
  leaving.abort()
  for (const { status } of await Promise.allSettled(left)) expect(status).toBe('rejected')
  await allClosed(app)
  gate.open()
  const next = Array.from({ length: 3 }, async () => await app.fetch(list))
  for (const { status } of await Promise.all(next)) expect(status).toBe(200)
})

it('a connection with many requests at once leaves no turn taken when it closes', async () => {
  const { app, gate, asked } = await openHeldApi()
  await using _ = app
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
  await once(socket, 'connect')
  const request = `GET ${list} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer alice\r\n\r\n`
  socket.write(request.repeat(5))
  await vi.waitFor(() => expect(asked).toHaveLength(2))
  socket.destroy()
  await allClosed(app)
  gate.open()
  const next = Array.from({ length: 4 }, async () => await app.fetch(list))
  for (const { status } of await Promise.all(next)) expect(status).toBe(200)
})

it('the body of a call is not read before its turn', async () => {
  const { app, gate, asked } = await openHeldApi()
  await using _ = app
  const held = Array.from({ length: 2 }, async () => await app.fetch(list))
  await vi.waitFor(() => expect(asked).toHaveLength(2))
  const bytes = 512 * 1024
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    'POST /trpc/sessions.create HTTP/1.1\r\nhost: a\r\nauthorization: Bearer alice\r\n' +
      `content-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`,
  )
  socket.write('x'.repeat(bytes))
  const answered = once(socket, 'data')
  // A whole call of another caller comes between: had the body been read, the server would have refused it.
  expect((await app.fetch(list, { user: 'bob' })).status).toBe(200)
  expect(socket.bytesRead).toBe(0)
  gate.open()
  expect(String(await answered)).toMatch(/^HTTP\/1\.1 400/)
  socket.destroy()
  for (const { status } of await Promise.all(held)) expect(status).toBe(200)
})

it.each([
  ['lists', list, 200],
  ['follows of unknown runs', query('runs.follow', { runId: crypto.randomUUID() }), 200],
  ['resumptions of unknown runs', `/chat/sse/${crypto.randomUUID()}`, 404],
])(
  'a caller with more %s than its pace is answered later, and another caller meanwhile',
  async (_what, path, status) => {
    await using app = await openTestApi({ maxBytesPerSecond: 32 * 1024 })
    const order: string[] = []
    const call = async (name: string, user: string, called: string) => {
      const response = await app.fetch(called, { user })
      await response.text()
      order.push(`${name} ${response.status}`)
    }
    // One a second, and two ahead.
    const calls = Array.from({ length: 4 }, async (_, at) => await call(`alice ${at}`, 'alice', path))
    await Promise.all(calls.slice(0, 2))
    await call('bob', 'bob', list)
    await Promise.all(calls)
    expect(order.slice(-3)).toEqual(['bob 200', `alice 2 ${status}`, `alice 3 ${status}`])
  },
)

it('a refused follow counts as four calls', async () => {
  await using app = await openTestApi({ maxBytesPerSecond: 32 * 1024 })
  const order: string[] = []
  const call = async (user: string, path: string) => {
    await (await app.fetch(path, { user })).text()
    order.push(user)
  }
  await call('alice', query('runs.follow', { runId: crypto.randomUUID() }))
  await Promise.all([call('alice', list), ...Array.from({ length: 4 }, async () => await call('bob', list))])
  expect(order).toEqual(['alice', 'bob', 'bob', 'bob', 'bob', 'alice'])
})

it('after large answers the next read of their caller begins later, and a read of another caller meanwhile', async () => {
  const asked: string[] = []
  await using app = await openTestApi({
    maxBytesPerSecond: 128 * 1024,
    maxReadsPerPrincipal: 1,
    replaceParts: ({ messages }) => ({
      messages: {
        ...messages,
        async list(owner, ...page) {
          asked.push(owner.ownerId)
          return await messages.list(owner, ...page)
        },
      },
    }),
  })
  const owner = ownerOf({ userId: 'alice', tenantId: 'default', scopes: [] })
  const content = 'x'.repeat(400 * 1024)
  await app.engine.messages.append(owner, { sessionId: 'large', role: 'user', content })
  const messages = query('messages.list', { sessionId: 'large' })
  // The pace of calls lets all three in.
  const calls = Array.from({ length: 3 }, async () => await readOutcome(await app.fetch(messages)))
  await Promise.race(calls)
  await readOutcome(await app.fetch(messages, { user: 'bob' }))
  expect(asked).toEqual(['alice', 'bob'])
  expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([200, 200, 200])
})

it('a long answer that a caller follows keeps the pace of its answers, and another caller is answered meanwhile', async () => {
  await using app = await openTestApi({ maxBytesPerSecond: 64 * 1024 })
  const owner = ownerOf({ userId: 'alice', tenantId: 'default', scopes: [] })
  const runId = crypto.randomUUID()
  const message = 'x'.repeat(400 * 1024)
  await app.engine.runs.start(owner, { sessionId: 'long', runId, message })
  const order: string[] = []
  const call = async (user: string, path: string) => {
    const text = await (await app.fetch(path, { user })).text()
    order.push(user)
    return text
  }
  const following = call('alice', query('runs.follow', { runId }))
  await call('bob', list)
  expect(await following).toContain(message)
  expect(order).toEqual(['bob', 'alice'])
})
