import { createTRPCClient, httpSubscriptionLink } from '@trpc/client'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { EventBatch, fromCursor, ownerOf, Principal, toCursor, VerbatimError } from '@verbatim/core'
import { EventSource } from 'eventsource'
import { allFrames, framesUntil, listen, query, readFrames } from '@verbatim/test-kit/http'
import type { WireFrame } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toPrincipal } from './context.ts'
import type { AppRouter } from './create-router.ts'
import { authenticateByName, openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi

beforeAll(async () => {
  app = await openTestApi({ heartbeatMs: 200, reconnectMs: 40 })
})
afterAll(async () => await app[Symbol.asyncDispose]())

const alice = ownerOf(Principal.parse({ userId: 'alice' }))
const isTerminal = (frame: WireFrame) => /"run_(completed|failed|cancelled|interrupted)"/.test(frame.data ?? '')

function batchesOf(frames: readonly WireFrame[]): EventBatch[] {
  return frames.filter(({ id }) => id !== undefined).map(({ data }) => EventBatch.parse(JSON.parse(data ?? '')))
}

function textOf(batches: readonly EventBatch[]): string {
  const events = batches.flatMap((batch) => batch.events)
  return events
    .map((event) => (event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : ''))
    .join('')
}

async function follow(input: object, headers: Record<string, string> = {}): Promise<Response> {
  return await app.fetch(query('runs.follow', input), { headers })
}

function stockClient({ url }: { url: string }, fetches: { lastEventIds: (string | null)[] } = { lastEventIds: [] }) {
  return createTRPCClient<AppRouter>({
    links: [
      httpSubscriptionLink({
        url: `${url}/trpc`,
        EventSource,
        eventSourceOptions: {
          fetch: async (input, init) => {
            const headers = new Headers(init.headers)
            fetches.lastEventIds.push(headers.get('last-event-id'))
            headers.set('authorization', 'Bearer alice')
            return await fetch(input, { ...init, headers })
          },
        },
      }),
    ],
  })
}

/** Reads a run to its end with the stock client; `onBatch` receives each batch with its cursor. */
async function readByStockClient(
  client: ReturnType<typeof stockClient>,
  runId: string,
  onBatch: (batch: { id: string; data: EventBatch }) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.runs.follow.subscribe({ runId }, { onData: onBatch, onError: reject, onComplete: resolve })
  })
}

/** The error that the stock client receives for a run that does not exist. */
async function refusalOf(site: { url: string }): Promise<unknown> {
  return await new Promise((resolve) => {
    stockClient(site).runs.follow.subscribe({ runId: crypto.randomUUID() }, { onError: resolve })
  })
}

describe('the wire', () => {
  it('runs.follow begins with connected, a retry hint and a ping, tracks every batch, and returns after the terminal event', async () => {
    const runId = await app.startRun('one two three')
    const response = await follow({ runId })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(response.headers.get('cache-control')).toContain('no-transform')
    const frames = await allFrames(response)
    expect(Number(frames[0]?.retry)).toBeGreaterThanOrEqual(20)
    expect(frames[0]).toMatchObject({ event: 'connected', data: '{"reconnectAfterInactivityMs":600}' })
    expect(frames[1]).toEqual({ event: 'ping', data: '' }) // the credentials were accepted
    const batches = batchesOf(frames)
    expect(textOf(batches)).toBe('one two three ')
    expect(batches[0]?.firstSeq).toBe(1)
    for (const [index, batch] of batches.entries()) {
      const cursor = frames.filter(({ id }) => id !== undefined)[index]?.id
      expect(fromCursor(cursor ?? '', runId).seq).toBe(batch.firstSeq + batch.events.length - 1)
    }
    expect(isTerminal(frames.at(-2) ?? {})).toBe(true)
    expect(frames.at(-1)).toEqual({ event: 'return', data: '' })
  })

  it("runs.follow sends the same frames as tRPC's own adapter", async () => {
    const runId = await app.startRun('alpha beta')
    const ours = await allFrames(await follow({ runId }))
    const handler = createHTTPHandler({
      router: app.api.router,
      basePath: '/trpc/',
      createContext: async ({ req }) => {
        const headers = new Headers(req.headers as Record<string, string>)
        const principal = await authenticateByName({ method: 'GET', url: '', headers })
        return { principal: toPrincipal(principal) }
      },
    })
    const { server, url } = await listen(handler)
    const fromTrpc = async (input: object, user: string) => {
      return await allFrames(
        await fetch(url + query('runs.follow', input), { headers: { authorization: `Bearer ${user}` } }),
      )
    }
    const theirs = await fromTrpc({ runId }, 'alice')
    const essence = (frames: WireFrame[]) => frames.filter(({ event }) => event !== 'connected' && event !== 'ping')
    // A live stream may cut batches otherwise, so both read the stored log.
    const oursAgain = await allFrames(await follow({ runId }))
    expect(essence(oursAgain)).toEqual(essence(theirs))
    expect(textOf(batchesOf(ours))).toBe(textOf(batchesOf(theirs)))
    for (const input of [{ runId, lastEventId: 'nonsense' }, { runId: 'no-uuid' }, { runId, extra: 1 }]) {
      expect(essence(await allFrames(await follow(input)))).toEqual(essence(await fromTrpc(input, 'alice')))
    }
    const foreign = await app.fetch(query('runs.follow', { runId }), { user: 'bob' })
    expect(essence(await allFrames(foreign))).toEqual(essence(await fromTrpc({ runId }, 'bob')))
    server.closeAllConnections()
    server.close()
  })

  it('runs.follow resumes after any cursor, from the header, the query or the input', async () => {
    const runId = await app.startRun('a b c d e f')
    const all = batchesOf(await allFrames(await follow({ runId })))
    const last = all.at(-1)
    const total = (last?.firstSeq ?? 0) + (last?.events.length ?? 0) - 1
    const events = all.flatMap((batch) => batch.events)
    for (let seq = 0; seq <= total; seq++) {
      const cursor = toCursor(runId, seq)
      const byHeader = await allFrames(await follow({ runId }, { 'last-event-id': cursor }))
      const byInput = await allFrames(await follow({ runId, lastEventId: cursor }))
      const byQuery = await allFrames(await app.fetch(`${query('runs.follow', { runId })}&lastEventId=${cursor}`))
      for (const frames of [byHeader, byInput, byQuery]) {
        const rest = batchesOf(frames)
        expect(rest.flatMap((batch) => batch.events)).toEqual(events.slice(seq))
        expect(rest.length === 0 ? total + 1 : rest[0]?.firstSeq).toBe(seq + 1)
        expect(frames.at(-1)).toEqual({ event: 'return', data: '' })
      }
    }
  })

  it('runs.follow refuses a lasting fault under a 4xx code, so that clients stay away', async () => {
    const runId = await app.startRun('x')
    await allFrames(await follow({ runId }))
    const refused: [object, string][] = [
      [{ runId, lastEventId: '' }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: '-1' }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: toCursor(runId, 1e9) }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: `${runId}:01` }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: `${runId}:1.5` }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: `${runId}:1\n` }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: `${runId}:9007199254740993` }, 'INVALID_CURSOR'],
      [{ runId, lastEventId: toCursor(crypto.randomUUID(), 1) }, 'INVALID_CURSOR'],
      [{ runId: { $ne: null } }, 'INVALID_INPUT'],
      [{ runId, after: 3 }, 'INVALID_INPUT'],
      [{}, 'INVALID_INPUT'],
      [{ runId: crypto.randomUUID() }, 'RUN_NOT_FOUND'],
    ]
    for (const [input, code] of refused) {
      const response = await follow(input)
      const frames = await allFrames(response)
      expect(response.status).toBe(200)
      expect([frames.at(-1)?.event, input]).toEqual(['serialized-error', input])
      const shape = JSON.parse(frames.at(-1)?.data ?? '') as {
        code: number
        data: { httpStatus: number; verbatim: { code: string } }
      }
      expect([shape.data.verbatim.code, input]).toEqual([code, input])
      expect(shape.data.httpStatus).toBeLessThan(500)
      expect(shape.code).not.toBe(-32603)
    }
  })

  it('runs.follow refuses malformed JSON and a caller without a principal inside the stream', async () => {
    const codeOf = async (response: Response) => {
      const last = (await allFrames(response)).at(-1)
      return (JSON.parse(last?.data ?? '') as { data: { verbatim: { code: string } } }).data.verbatim.code
    }
    expect(await codeOf(await app.fetch('/trpc/runs.follow?input=%7B'))).toBe('INVALID_INPUT')
    expect(await codeOf(await app.fetch('/trpc/runs.follow'))).toBe('INVALID_INPUT')
    expect(await codeOf(await app.fetch(query('runs.follow', { runId: crypto.randomUUID() }), { user: null }))).toBe(
      'UNAUTHENTICATED',
    )
  })

  it('runs.follow takes GET only', async () => {
    const path = query('runs.follow', { runId: crypto.randomUUID() })
    for (const method of ['POST', 'HEAD', 'DELETE']) {
      const response = await app.fetch(path, { method })
      expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, 'GET'])
    }
  })

  it('runs.follow sends heartbeats while the run is silent', async () => {
    const runId = await app.startRun('hi /hang')
    const frames = await framesUntil(await follow({ runId }), ({ event }) => event === 'ping')
    expect(frames.at(-1)).toEqual({ event: 'ping', data: '' })
    await app.engine.runs.cancel(alice, runId)
  })
})

describe('the stock client of @trpc/client', () => {
  it('the stock tRPC client follows to the end and does not reconnect', async () => {
    const runId = await app.startRun('un deux trois')
    const seen: string[] = []
    let text = ''
    await readByStockClient(stockClient(app), runId, ({ id, data }) => {
      seen.push(id)
      text += textOf([data])
    })
    expect(text).toBe('un deux trois ')
    expect(new Set(seen).size).toBe(seen.length)
  })

  it('the stock tRPC client reconnects with its last id after a cut, and receives every event once', async () => {
    await using other = await openTestApi({ reconnectMs: 40 })
    const runId = await other.startRun('a b c /wait d e f')
    const fetches = { lastEventIds: [] as (string | null)[] }
    const seqs: number[] = []
    let text = ''
    const done = readByStockClient(stockClient(other, fetches), runId, ({ data }) => {
      seqs.push(...data.events.map((_event, index) => data.firstSeq + index))
      text += textOf([data])
    })
    await expect.poll(() => text).toBe('a b c ')
    other.server.closeAllConnections()
    await expect.poll(() => fetches.lastEventIds.length).toBeGreaterThan(1)
    other.agent.release()
    await done
    expect(text).toBe('a b c d e f ')
    expect(seqs).toEqual(seqs.map((_seq, index) => index + 1))
    expect(fetches.lastEventIds[1]).toMatch(new RegExp(`^${runId}:\\d+$`))
  })

  it('the stock tRPC client gives up with the typed error after a refusal', async () => {
    expect(await refusalOf(app)).toMatchObject({
      data: { code: 'NOT_FOUND', verbatim: { code: 'RUN_NOT_FOUND', retryable: false } },
    })
  })
})

describe('a stream that ends before its run', () => {
  it('a draining server ends streams without return', async () => {
    await using other = await openTestApi()
    const runId = await other.startRun('one /hang')
    const response = await other.fetch(query('runs.follow', { runId }))
    const frames: WireFrame[] = []
    for await (const frame of readFrames(response)) {
      frames.push(frame)
      if (frame.data?.includes('one')) void other.engine.drain({ graceMs: 0 })
    }
    expect(frames.map(({ event }) => event)).not.toContain('return')
    expect(frames.map(({ event }) => event)).not.toContain('serialized-error')
    expect(frames.filter(({ retry }) => retry !== undefined)).toHaveLength(2)
  })

  it('a closing API ends streams without return, also those that open later', async () => {
    await using other = await openTestApi()
    const runId = await other.startRun('one /hang')
    const reading = allFrames(await other.fetch(query('runs.follow', { runId })))
    await other.api.close()
    expect((await reading).map(({ event }) => event)).not.toContain('return')
    const after = await allFrames(await other.fetch(query('runs.follow', { runId })))
    expect(after.map(({ event }) => event)).not.toContain('return')
    expect(after.some(({ retry }) => retry !== undefined)).toBe(true)
  })

  it('a stream that is too old ends without return', async () => {
    await using other = await openTestApi({ heartbeatMs: 50, maxStreamMs: 2_000 })
    const runId = await other.startRun('one /hang')
    const frames = await allFrames(await other.fetch(query('runs.follow', { runId })))
    expect(frames.map(({ event }) => event)).toContain('ping')
    expect(frames.map(({ event }) => event)).not.toContain('return')
  })

  it('streams end without return and with a retry hint while the database is away', async () => {
    const away = () => new VerbatimError('UNAVAILABLE', 'Away', { data: { retryAfterMs: 4_321 } })
    await using other = await openTestApi({
      authenticate: () => {
        throw away()
      },
    })
    const frames = await allFrames(await other.fetch(query('runs.follow', { runId: crypto.randomUUID() })))
    expect(frames.at(-1)).toEqual({ retry: '4321' })
    expect(frames.some(({ event }) => event === 'serialized-error')).toBe(false)
  })

  it('a bug of the server ends the stream for good, so that the client does not meet it again for ever', async () => {
    await using other = await openTestApi({
      authenticate: () => {
        throw new Error('a bug')
      },
    })
    expect(await refusalOf(other)).toMatchObject({ data: { verbatim: { code: 'INTERNAL' } } })
  })
})
