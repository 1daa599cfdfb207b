/** The plain chat endpoints where the provider does not matter. Answers, failures and readers that leave: tests/system/chat-endpoints. */
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { seqOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { allFrames, json, query } from '@verbatim/test-kit/http'
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

  it.for(['/chat/stream', '/chat/sse'])(
    '%s says to proxies that nothing may be compressed or collected',
    async (path) => {
      const { headers } = await app.fetch(path, json(chat('all of it')))
      expect([headers.get('cache-control'), headers.get('x-accel-buffering')]).toEqual(['no-store, no-transform', 'no'])
    },
  )

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

  it('/chat/sse sends comments as heartbeats, and ends no block without data, because some readers take it for a message', async () => {
    const response = await app.fetch('/chat/sse', json(chat('one /wait two')))
    let received = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      received += chunk
      if (received.includes(': ping\n')) app.agent.release()
    }
    const blocks = received.split('\n\n')
    expect(blocks.at(-1)).toBe('')
    for (const block of blocks.slice(0, -1)) expect(block).toMatch(/^data: /m)
    expect(blocks[0]).toMatch(/^retry: \d+$/m)
    expect(received).toContain('two ')
  })
})

describe('GET /chat/sse/:runId', () => {
  it('the cursor of the text stays before the end, however the log cuts its batches', async () => {
    await using other = await openTestApi({ replaceParts: mergeBatches })
    const runId = await other.startRun('whole')
    const [token, done] = await allFrames(await other.fetch(`/chat/sse/${runId}`))
    expect(messagesOf([token ?? {}, done ?? {}])).toMatchObject([{ type: 'token', data: 'whole ' }, { type: 'done' }])
    const rest = await allFrames(await other.fetch(`/chat/sse/${runId}?lastEventId=${token?.id}`))
    expect(rest).toEqual([{ ...done, retry: rest[0]?.retry }])
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
function mergeBatches(engine: Engine): Partial<Engine> {
  const runs: Engine['runs'] = {
    ...engine.runs,
    async *follow(owner, runId, options) {
      const events: RunEvent[] = []
      for await (const batch of engine.runs.follow(owner, runId, options)) events.push(...batch.events)
      yield { firstSeq: seqOf(options?.after, runId) + 1, events }
    },
  }
  return { runs }
}
