/** The plain chat endpoints where the provider does not matter. Answers, failures and readers that leave: tests/system/chat-endpoints. */
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { seqOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { allFrames, framesUntil, json, query } from '@verbatim/test-kit/http'
import type { WireFrame } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faultCanary } from './testing/prompted-agent.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi
beforeAll(async () => void (app = await openTestApi({ heartbeatMs: 200, reconnectMs: 40 })))
afterAll(async () => await app[Symbol.asyncDispose]())

const newSession = () => `chat-${crypto.randomUUID()}`
const chat = (message: string, sessionId = newSession()) => ({ sessionId, message })

interface ChatFrame {
  readonly type: 'token' | 'done' | 'error'
  readonly data?: string
  readonly [field: string]: unknown
}

function messagesOf(frames: readonly WireFrame[]): ChatFrame[] {
  return frames.filter(({ data }) => data !== undefined).map(({ data }) => JSON.parse(data ?? '') as ChatFrame)
}

function textOf(frames: readonly WireFrame[]): string {
  return messagesOf(frames)
    .map((frame) => (frame.type === 'token' ? frame.data : ''))
    .join('')
}

describe('POST /chat/stream', () => {
  it('one Idempotency-Key starts one run, however often the request comes', async () => {
    const key = crypto.randomUUID()
    const body = chat('once')
    const [first, second] = await Promise.all(
      [1, 2].map(async () => await app.fetch('/chat/stream', json(body, { 'idempotency-key': key }))),
    )
    expect([await first?.text(), await second?.text()]).toEqual(['once ', 'once '])
    const list = await (await app.fetch(query('messages.list', { sessionId: body.sessionId }))).json()
    expect(list).toMatchObject({ result: { data: { items: [{ role: 'user' }, { role: 'assistant' }] } } })
    const reused = await app.fetch('/chat/stream', json({ ...body, message: 'else' }, { 'idempotency-key': key }))
    expect([reused.status, await reused.json()]).toMatchObject([409, { error: { code: 'RUN_ID_REUSED' } }])
  })

  it('the server cuts a failed /chat/stream over HTTP/2 too, so that it does not look like an end', async () => {
    const server = createHttp2Server(app.api.nodeHandler as never) // Node's types of the two kinds of request differ
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const readAll = async (message: string) => {
      const request = session.request({
        ':method': 'POST',
        ':path': '/chat/stream',
        authorization: 'Bearer alice',
        'content-type': 'application/json',
      })
      request.end(JSON.stringify(chat(message)))
      return await text(request)
    }
    expect(await readAll('all of it')).toBe('all of it ')
    await expect(readAll('half an /fail')).rejects.toThrow('INTERNAL_ERROR')
    session.close()
    await new Promise((resolve) => server.close(resolve))
  })

  it('/chat/stream ends cleanly when the run is cancelled', async () => {
    const runId = crypto.randomUUID()
    const response = await app.fetch('/chat/stream', json(chat('so far /hang'), { 'idempotency-key': runId }))
    await app.fetch('/trpc/runs.cancel', json({ runId }))
    expect(await response.text()).toBe('so far ')
  })
})

describe('POST /chat/sse', () => {
  it('/chat/sse ends with an error frame when the run fails, and masks a bug', async () => {
    const frames = await allFrames(await app.fetch('/chat/sse', json(chat('well /crash'))))
    expect(textOf(frames)).toBe('well ')
    expect(messagesOf(frames).at(-1)).toMatchObject({ type: 'error', code: 'INTERNAL' })
    expect(JSON.stringify(frames)).not.toContain('CANARY')
    expect(JSON.stringify(app.logged)).not.toContain(faultCanary)
  })

  it('a POST to /chat/sse with a cursor resumes the run and starts none', async () => {
    const body = chat('p q r s')
    const first = await allFrames(await app.fetch('/chat/sse', json(body)))
    const cursor = first.find(({ data }) => data?.includes('"token"'))?.id ?? ''
    const again = await allFrames(await app.fetch('/chat/sse', json(body, { 'last-event-id': cursor })))
    expect(textOf(first.slice(0, first.findIndex(({ id }) => id === cursor) + 1)) + textOf(again)).toBe('p q r s ')
    const list = await (await app.fetch(query('runs.list', { sessionId: body.sessionId }))).json()
    expect((list as { result: { data: { items: unknown[] } } }).result.data.items).toHaveLength(1)
  })

  it('/chat/sse sends comments as heartbeats while the run is silent', async () => {
    const runId = crypto.randomUUID()
    const response = await app.fetch('/chat/sse', json(chat('hm /hang'), { 'idempotency-key': runId }))
    const frames = await framesUntil(response, ({ comment }) => comment !== undefined)
    expect(frames.at(-1)).toEqual({ comment: 'ping' })
    await app.fetch('/trpc/runs.cancel', json({ runId }))
    const rest = messagesOf(await allFrames(await app.fetch(`/chat/sse/${runId}`)))
    expect(rest.at(-1)).toMatchObject({ type: 'done', status: 'cancelled' })
  })

  it('/chat/sse names the active run when the session is busy', async () => {
    const sessionId = newSession()
    const runId = await app.startRun('/hang', sessionId)
    const response = await app.fetch('/chat/sse', json(chat('me too', sessionId)))
    expect(response.status).toBe(409)
    expect(await response.json()).toMatchObject({ error: { code: 'SESSION_BUSY', data: { activeRunId: runId } } })
    await app.fetch('/trpc/runs.cancel', json({ runId }))
  })
})

describe('GET /chat/sse/:runId', () => {
  it('GET /chat/sse resumes after each cursor it sent, and answers 204 after the last', async () => {
    const runId = await app.startRun('s1 s2 s3 s4 s5')
    const whole = await allFrames(await app.fetch(`/chat/sse/${runId}`))
    const framed = whole.filter(({ id }) => id !== undefined)
    for (const [index, { id = '' }] of framed.entries()) {
      const byHeader = await app.fetch(`/chat/sse/${runId}`, { headers: { 'last-event-id': id } })
      const byQuery = await app.fetch(`/chat/sse/${runId}?lastEventId=${id}`)
      const isLast = index === framed.length - 1
      for (const response of [byHeader, byQuery]) {
        expect(response.status).toBe(isLast ? 204 : 200)
        const rest = (await allFramesOf(response)).filter((frame) => frame.id !== undefined)
        expect(textOf(framed.slice(0, index + 1)) + textOf(rest)).toBe('s1 s2 s3 s4 s5 ')
        expect(rest.at(-1)).toEqual(isLast ? undefined : framed.at(-1))
      }
    }
  })

  it('the cursor of the text stays before the end, however the log cuts its batches', async () => {
    await using other = await openTestApi({ wrapEngine: mergingEngine })
    const runId = await other.startRun('whole')
    const [, token, done] = await allFrames(await other.fetch(`/chat/sse/${runId}`))
    expect(messagesOf([token ?? {}, done ?? {}])).toMatchObject([{ type: 'token', data: 'whole ' }, { type: 'done' }])
    const rest = await allFrames(await other.fetch(`/chat/sse/${runId}?lastEventId=${token?.id}`))
    expect(rest.slice(1)).toEqual([done])
  })

  it('/chat/sse ends without a last frame while the server drains, so that the client reconnects', async () => {
    await using other = await openTestApi()
    const runId = await other.startRun('one /hang')
    const reading = allFrames(await other.fetch(`/chat/sse/${runId}`))
    await other.engine.drain({ graceMs: 0 })
    expect(messagesOf(await reading).map(({ type }) => type)).not.toContain('error')
    expect(messagesOf(await reading).map(({ type }) => type)).not.toContain('done')
  })

  it('GET /chat/sse refuses an unknown run and a cursor that it cannot resume', async () => {
    const runId = await app.startRun('z')
    await allFrames(await app.fetch(`/chat/sse/${runId}`))
    const refused: [string, string | null, number, string][] = [
      [runId, `${runId}:999`, 400, 'INVALID_CURSOR'],
      [runId, 'x', 400, 'INVALID_CURSOR'],
      [runId, `${crypto.randomUUID()}:1`, 400, 'INVALID_CURSOR'],
      [crypto.randomUUID(), null, 404, 'RUN_NOT_FOUND'],
      ['__proto__', null, 400, 'INVALID_INPUT'],
    ]
    for (const [run, cursor, status, code] of refused) {
      const headers: Record<string, string> = cursor === null ? {} : { 'last-event-id': cursor }
      const response = await app.fetch(`/chat/sse/${run}`, { headers })
      expect([response.status, await response.json()]).toMatchObject([status, { error: { code } }])
    }
  })
})

/** An engine whose log yields everything as one batch, as an archive may. */
function mergingEngine(engine: Engine): Engine {
  const runs: Engine['runs'] = {
    ...engine.runs,
    async *follow(owner, runId, options) {
      const events: RunEvent[] = []
      for await (const batch of engine.runs.follow(owner, runId, options)) events.push(...batch.events)
      yield { firstSeq: seqOf(options?.after, runId) + 1, events }
    },
  }
  return new Proxy(engine, {
    get: (target, name) => (name === 'runs' ? runs : Reflect.get(target, name, target)),
  })
}

async function allFramesOf(response: Response): Promise<WireFrame[]> {
  return response.status === 204 ? [] : await allFrames(response)
}
