/** Whole answers have a bound each, in a batch and in a process, and a reader that takes nothing loses its answer. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { maxPageBytes } from '@verbatim/core'
import { json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const messages = 5
const page = query('messages.list', { sessionId: 's', limit: 100 })

let app: TestApi
let most = 0
beforeAll(async () => {
  let atOnce = 0
  app = await openTestApi({
    stalledReaderTimeoutMs: 500,
    heartbeatMs: 100,
    maxOpenAnswerBytes: 6 * maxPageBytes,
    replaceParts: (engine) => ({
      messages: {
        ...engine.messages,
        async list(...call) {
          most = Math.max(most, ++atOnce)
          return await engine.messages.list(...call).finally(() => atOnce--)
        },
      },
    }),
  })
  const content = 'x'.repeat(200 * 1024)
  for (const user of ['alice', 'bob']) {
    for (let at = 0; at < messages; at++) {
      const init = { ...json({ sessionId: 's', role: 'user', content }), user }
      await (await app.fetch('/trpc/messages.append', init)).arrayBuffer()
    }
  }
})
afterAll(async () => await app[Symbol.asyncDispose]())

describe('a batch', () => {
  it('a batch of full pages runs a few at once, answers within its budget, and refuses the rest by name', async () => {
    const calls = Array.from({ length: 20 }, () => 'messages.list').join(',')
    const inputs = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [at, { sessionId: 's', limit: 100 }]))
    most = 0
    const url = `/trpc/${calls}?batch=1&input=${encodeURIComponent(JSON.stringify(inputs))}`
    const response = await app.fetch(url)
    const text = await response.text()
    const answers = JSON.parse(text) as { result?: unknown; error?: { data: { verbatim: object } } }[]
    expect(answers).toHaveLength(20)
    expect(answers.filter(({ result }) => result !== undefined)).toHaveLength(4)
    const refused = answers.filter(({ error }) => error !== undefined)
    expect(refused).toHaveLength(16)
    for (const { error } of refused)
      expect(error?.data.verbatim).toMatchObject({ code: 'RATE_LIMITED', retryable: true })
    expect(text.length).toBeLessThan(4 * maxPageBytes + 20_000)
    expect(most).toBe(2)
  })

  it('the calls of a batch come one by one where the client asks for that', async () => {
    const inputs = { 0: { sessionId: 's', limit: 1 }, 1: { sessionId: 's', limit: 1 } }
    const url = `/trpc/messages.list,messages.list?batch=1&input=${encodeURIComponent(JSON.stringify(inputs))}`
    const response = await app.fetch(url, { headers: { 'trpc-accept': 'application/jsonl' } })
    expect(response.headers.get('transfer-encoding')).toBe('chunked')
    expect((await response.text()).length).toBeGreaterThan(2 * 200 * 1024)
  })
})

/** A connection that asks for `count` pages and takes nothing. */
function openStalledReader(count: number): Socket {
  const reader = connect(Number(new URL(app.url).port), '127.0.0.1')
  reader.pause()
  reader.on('error', () => {}) // it is reset, as it should be
  reader.write(`GET ${page} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n`.repeat(count))
  return reader
}

async function connections(): Promise<number> {
  return await new Promise((resolve) => app.server.getConnections((_error, count) => resolve(count)))
}

describe('a reader that takes nothing of an answer', () => {
  it('the server cuts it off after a while', async () => {
    const connected = once(app.server, 'connection') as Promise<[Socket]>
    const reader = openStalledReader(7) // more than the system's own buffers take, and less than the bound
    const [socket] = await connected
    await expect.poll(() => socket.destroyed).toBe(true)
    expect(socket.timeout).toBe(500)
    reader.destroy()
  })

  it('what waits for such readers is within a bound, and another caller is answered meanwhile', async () => {
    const sockets: Socket[] = []
    const onConnection = (socket: Socket) => sockets.push(socket)
    app.server.on('connection', onConnection)
    const before = await connections()
    const readers = Array.from({ length: 4 }, () => openStalledReader(12))
    let mostWaiting = 0
    const watch = setInterval(() => {
      mostWaiting = Math.max(
        mostWaiting,
        sockets.reduce((sum, { writableLength }) => sum + writableLength, 0),
      )
    }, 5)
    await expect.poll(() => sockets.length).toBe(4)
    const answer = await app.fetch(page, { user: 'bob' })
    expect(((await answer.json()) as { result: { data: { items: unknown[] } } }).result.data.items).toHaveLength(
      messages,
    )
    await expect.poll(() => sockets.slice(0, 4).every(({ destroyed }) => destroyed)).toBe(true)
    clearInterval(watch)
    app.server.off('connection', onConnection)
    expect(mostWaiting).toBeGreaterThan(0) // otherwise no reader lagged and the test proves nothing
    expect(mostWaiting).toBeLessThan(8 * maxPageBytes)
    for (const reader of readers) reader.destroy()
    await expect.poll(connections).toBeLessThanOrEqual(before + 1)
  })

  it('a fetch server sees the body break off', async () => {
    const headers = { authorization: 'Bearer alice' }
    const response = await app.api.fetchHandler(new Request(`http://x${page}`, { headers }))
    const reader = response.body?.getReader()
    expect((await reader?.read())?.value?.byteLength).toBe(64 * 1024)
    await new Promise((resolve) => setTimeout(resolve, 700)) // the reader takes nothing for longer than it may
    await expect(reader?.read()).rejects.toMatchObject({ name: 'AbortError' })
    const whole = await app.api.fetchHandler(new Request(`http://x${page}`, { headers }))
    expect((await whole.text()).length).toBeGreaterThan(messages * 200 * 1024)
  })
})

describe('large bodies', () => {
  it('a body that does not end keeps only the large bodies of its own caller waiting', async () => {
    const content = 'y'.repeat(100 * 1024)
    const body = JSON.stringify({ sessionId: 'other', role: 'user', content })
    const half = connect(Number(new URL(app.url).port), '127.0.0.1')
    half.on('error', () => {})
    const head = `POST /trpc/messages.append HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/json`
    half.write(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 1_000)}`)
    const append = async (user: string) =>
      (await app.fetch('/trpc/messages.append', { ...json(JSON.parse(body)), user })).status
    await once(app.server, 'request') // the first half's
    let isServed = false
    const waiting = append('alice').then((status) => {
      isServed = true
      return status
    })
    expect(await append('bob')).toBe(200)
    expect((await app.fetch(query('sessions.list', {}))).status).toBe(200)
    expect(isServed).toBe(false)
    half.destroy()
    expect(await waiting).toBe(200)
  })

  it('a body without a caller is not read', async () => {
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
    const head = 'POST /trpc/runs.start HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000'
    socket.write(`${head}\r\n\r\n{`)
    const [status] = String(await new Promise((resolve) => socket.once('data', resolve))).split('\r\n')
    expect(status).toBe('HTTP/1.1 401 Unauthorized')
    socket.destroy()
  })
})
