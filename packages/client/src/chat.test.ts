import { lastSeqOf } from '@verbatim/core'
import type { TerminalEvent } from '@verbatim/core'
import { describe, expect, it, vi } from 'vitest'
import { collect, connect, hurried } from './testing/connect.ts'
import { logOf, messageId, metrics, runId, runOf, sessionId, storedAnswer } from './testing/events.ts'
import {
  batchFrame,
  firstly,
  followOf,
  openSse,
  refuse,
  reply,
  silent,
  startWireServer,
  wireError,
} from './testing/wire-server.ts'
import type { Handler, WireServer } from './testing/wire-server.ts'

const log = logOf(['Hello', ', ', 'world'])

const startsRun: Handler = (request, response) => reply(response, runOf(request.input['runId']))
/** Answers a follow of any id with a run of that id. */
const followsAny = (pieces: string[], end?: TerminalEvent): Handler => {
  return (request, response) => followOf(logOf(pieces, { id: String(request.input['runId']), end }))(request, response)
}
const followsRun = followsAny(['Hello', ', ', 'world'])

async function serve(handlers: Record<string, Handler> = {}): Promise<WireServer> {
  return await startWireServer({
    'runs.start': startsRun,
    'runs.follow': followsRun,
    'messages.get': (_request, response) => reply(response, storedAnswer(log)),
    ...handlers,
  })
}

describe('sending a prompt', () => {
  it('gives the text as it comes and then the stored message', async () => {
    await using server = await serve()
    const run = connect(server).chat(sessionId).send('Greet the world')
    expect(run.status).toBe('starting')
    expect((await collect(run.text)).join('')).toBe('Hello, world')
    expect(await run.message).toEqual(storedAnswer(log))
    expect(await run.started).toEqual(runOf(run.id))
    expect(server.to('runs.start')[0]?.input).toEqual({ sessionId, runId: run.id, message: 'Greet the world' })
    expect(server.to('messages.get')[0]?.input).toEqual({ sessionId, messageId })
  })

  it('opens the follow at the same time as the start', async () => {
    await using server = await serve({
      // Answers only when the follow is there: a client that waited for the start would wait for ever.
      'runs.start': async (request, response) => {
        await expect.poll(() => server.to('runs.follow')).toHaveLength(1)
        await startsRun(request, response)
      },
    })
    expect((await collect(connect(server).chat(sessionId).send('x').text)).join('')).toBe('Hello, world')
  })

  it('repeats a start that did not get through, with the same id', async () => {
    await using server = await serve({
      'runs.start': (request, response) => {
        if (request.nth === 0) return void response.destroy()
        if (request.nth === 1) return refuse(response, wireError('UNAVAILABLE'), 503)
        if (request.nth === 2) return refuse(response, wireError('RATE_LIMITED', { retryAfterMs: 1 }), 429)
        if (request.nth === 3) return void response.writeHead(502).end('<html>')
        return startsRun(request, response)
      },
    })
    const run = connect(server).chat(sessionId).send('x')
    expect((await collect(run.text)).join('')).toBe('Hello, world')
    await run.started
    expect(new Set(server.to('runs.start').map((request) => request.input['runId']))).toEqual(new Set([run.id]))
    expect(server.to('runs.start')).toHaveLength(5)
  })

  it('does not take the run for missing while its start is still under way', async () => {
    let isThere = false
    await using server = await serve({
      'runs.start': (request, response) => {
        if (request.nth < 3) return refuse(response, wireError('UNAVAILABLE', { retryAfterMs: 20 }), 503)
        isThere = true
        return startsRun(request, response)
      },
      'runs.follow': (request, response) => {
        if (!isThere) return refuse(response, wireError('RUN_NOT_FOUND'), 404)
        return followsRun(request, response)
      },
    })
    expect((await collect(connect(server).chat(sessionId).send('x').text)).join('')).toBe('Hello, world')
  })

  it('shows the answer when the start got through and only its own answer was lost', async () => {
    await using server = await serve({
      'runs.start': (_request, response) => void response.destroy(),
      'runs.get': (request, response) => reply(response, runOf(request.input['runId'], { status: 'completed' })),
    })
    const run = connect(server, { retry: { ...hurried, maxCallAttempts: 3 } })
      .chat(sessionId)
      .send('x')
    expect((await collect(run.text)).join('')).toBe('Hello, world')
    expect(await run.started).toMatchObject({ status: 'completed' })
    expect(run.status).toBe('completed')
  })

  it('rejects everywhere with the typed error of a refused start, and stops following', async () => {
    const activeRunId = runId
    await using server = await serve({
      'runs.start': (_request, response) => refuse(response, wireError('SESSION_BUSY', { activeRunId }), 409),
      'runs.follow': followOf([], { frames: 1, ending: 'hold' }),
    })
    const run = connect(server).chat(sessionId).send('x')
    const busy = { code: 'SESSION_BUSY', data: { activeRunId } }
    await expect(run.started).rejects.toMatchObject(busy)
    await expect(run.message).rejects.toMatchObject(busy)
    await expect(collect(run)).rejects.toMatchObject(busy)
    await expect(collect(run.text)).rejects.toMatchObject(busy)
    expect(run.status).toBe('error')
    expect(server.to('runs.start')).toHaveLength(1)
    await expect.poll(() => server.openStreams).toBe(0)
  })

  it('never crashes a process that looks at none of its promises, or at one', async () => {
    const unhandled = vi.fn<(reason: unknown) => void>()
    process.on('unhandledRejection', unhandled)
    await using server = await serve({
      'runs.start': (_request, response) => refuse(response, wireError('SESSION_BUSY'), 409),
      'runs.follow': silent,
    })
    const client = connect(server)
    const ignored = client.chat(sessionId).send('x')
    const used = client.chat(sessionId).send('x')
    void used.message
    await expect(used.started).rejects.toMatchObject({ code: 'SESSION_BUSY' })
    await expect.poll(() => ignored.status).toBe('error')
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('shows nothing of another run when the id it was given is of that run', async () => {
    await using server = await serve({
      'runs.start': async (_request, response) => {
        await expect.poll(() => server.to('runs.follow')).toHaveLength(1)
        refuse(response, wireError('RUN_ID_REUSED'), 409)
      },
    })
    const run = connect(server).chat(sessionId).send('another prompt', { runId })
    const seen: unknown[] = []
    await expect(collect(run, seen)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    expect(seen).toEqual([])
    expect(run.answer.lastSeq).toBe(0)
  })

  it('asks once for a new token when the start’s was refused', async () => {
    await using server = await serve({
      'runs.start': (request, response) => {
        if (request.authorization !== 'Bearer new') return refuse(response, wireError('UNAUTHENTICATED'), 401)
        return startsRun(request, response)
      },
    })
    const token = ({ refresh }: { refresh: boolean }) => (refresh ? 'new' : 'old')
    await connect(server, { token }).chat(sessionId).send('x').started
    expect(server.to('runs.start')).toHaveLength(2)
  })

  it('fails with UNAVAILABLE when there is no server, after maxCallAttempts', async () => {
    const run = connect({ url: 'http://127.0.0.1:9' }, { retry: { ...hurried, maxCallAttempts: 3 } })
      .chat(sessionId)
      .send('x')
    await expect(collect(run.text)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('gives the start up when its signal aborts', async () => {
    await using server = await serve({
      'runs.start': () => {},
      'runs.follow': silent,
    })
    const controller = new AbortController()
    const run = connect(server).chat(sessionId).send('x', { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await expect(run.started).rejects.toThrowError('changed my mind')
    await expect(collect(run)).rejects.toThrowError('changed my mind')
    expect(run.status).toBe('closed')
  })
})

describe('how a run ends', () => {
  const error = wireError('PROVIDER_ERROR')
  const ended = (end: TerminalEvent) => ({ 'runs.follow': followsAny(['Half an ans'], end) })

  it('failed: the events say so, the text throws after what there is, the message rejects', async () => {
    await using server = await serve(ended({ type: 'run_failed', messageId, metrics, error }))
    const run = connect(server).chat(sessionId).send('x')
    expect((await collect(run)).at(-1)?.type).toBe('run_failed')
    const seen: string[] = []
    await expect(collect(run.text, seen)).rejects.toMatchObject({ code: 'PROVIDER_ERROR' })
    expect(seen.join('')).toBe('Half an ans')
    await expect(run.message).rejects.toMatchObject({ code: 'PROVIDER_ERROR' })
    expect(run.status).toBe('failed')
  })

  it('interrupted: the text throws, the message resolves with the part that is stored', async () => {
    await using server = await serve(ended({ type: 'run_interrupted', messageId, metrics, error }))
    const run = connect(server).chat(sessionId).send('x')
    await expect(collect(run.text)).rejects.toMatchObject({ code: 'PROVIDER_ERROR' })
    expect(await run.message).toMatchObject({ id: messageId })
    expect(run.status).toBe('interrupted')
  })

  it('cancelled: the text ends and the message resolves', async () => {
    await using server = await serve(ended({ type: 'run_cancelled', messageId, metrics }))
    const run = connect(server).chat(sessionId).send('x')
    expect((await collect(run.text)).join('')).toBe('Half an ans')
    expect(await run.message).toMatchObject({ id: messageId })
    expect(run.status).toBe('cancelled')
  })

  it('cancel() waits for the start, is repeated until it gets through, and the follow sees the end', async () => {
    let cancelled = () => {}
    const isCancelled = new Promise<void>((resolve) => (cancelled = resolve))
    const order: string[] = []
    await using server = await serve({
      'runs.start': async (request, response) => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        order.push('started')
        await startsRun(request, response)
      },
      'runs.cancel': (request, response) => {
        order.push('cancel')
        if (request.nth === 0) return void response.destroy()
        cancelled()
        return reply(response, { runId: request.input['runId'], status: 'cancelled', finalSeq: 5, hadEnded: false })
      },
      'runs.follow': async (request, response) => {
        const id = String(request.input['runId'])
        const part = logOf(['Half'], { id, end: { type: 'run_cancelled', messageId, metrics } })
        openSse(response)
        await isCancelled
        response.end(part.map((batch) => batchFrame(batch, id)).join(''))
      },
    })
    const run = connect(server).chat(sessionId).send('x')
    expect(await run.cancel()).toMatchObject({ status: 'cancelled' })
    expect((await run.message).id).toBe(messageId)
    expect(order).toEqual(['started', 'cancel', 'cancel'])
  })
})

describe('the client', () => {
  it.each(['', '/', '/trpc', '/trpc/'])('finds the procedures for a url that ends with %j', async (tail) => {
    await using server = await serve({ 'runs.get': startsRun })
    expect(await connect({ url: server.url + tail }).runs.get(runId)).toMatchObject({ id: runId })
  })

  it('reaches a router that is mounted in a team’s own app', async () => {
    await using server = await startWireServer({ 'ai.runs.start': startsRun, 'ai.runs.follow': followsRun })
    const run = connect(server, { mountedAs: 'ai' }).chat(sessionId).send('x')
    expect((await collect(run.text)).join('')).toBe('Hello, world')
    await run.started
  })

  it('sends the application’s headers with calls and streams', async () => {
    const seen: (string | null)[] = []
    await using server = await serve()
    const client = connect(server, {
      headers: () => ({ 'x-tenant': 'one' }),
      fetch: async (input, init) => {
        seen.push(new Headers(init?.headers).get('x-tenant'))
        return await fetch(input, init)
      },
    })
    await client.chat(sessionId).send('x').message
    expect(seen).toEqual(['one', 'one', 'one'])
  })

  it('maps every failure of a call to one class of error', async () => {
    await using server = await serve({
      'sessions.get': (_request, response) => refuse(response, wireError('SESSION_NOT_FOUND'), 404),
      'sessions.list': (_request, response) =>
        void response.writeHead(413, { 'content-type': 'text/html' }).end('<html>'),
      'runs.get': (_request, response) => void response.destroy(),
      'runs.list': (_request, response) =>
        refuse(response, { ...wireError('INTERNAL'), code: 'NEW_CODE' as never }, 500),
    })
    const client = connect(server)
    await expect(client.sessions.get('s')).rejects.toMatchObject({ name: 'VerbatimError', code: 'SESSION_NOT_FOUND' })
    await expect(client.sessions.list()).rejects.toMatchObject({ name: 'VerbatimError', code: 'PAYLOAD_TOO_LARGE' })
    await expect(client.runs.get(runId)).rejects.toMatchObject({ name: 'VerbatimError', code: 'UNAVAILABLE' })
    await expect(client.runs.list('s')).rejects.toMatchObject({ name: 'VerbatimError', code: 'INTERNAL' })
  })

  it('gives up calls and follows when it is closed', async () => {
    await using server = await serve({ 'runs.get': () => {}, 'runs.follow': silent })
    const client = connect(server)
    const call = client.runs.get(runId)
    const reading = collect(client.runs.follow(runId))
    await expect.poll(() => server.openStreams).toBe(1)
    client.close()
    await expect(call).rejects.toMatchObject({ name: 'AbortError' })
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => server.openStreams).toBe(0)
  })

  it('resumes subscriptions of the raw tRPC client as well', async () => {
    await using server = await serve({
      'runs.follow': firstly(2, followOf(log, { frames: 3, ending: 'cut' }), followOf(log)),
    })
    const seen: unknown[] = []
    for await (const { id, data } of connect(server).trpc.runs.follow.subscribe({ runId }))
      seen.push([id, ...data.events])
    expect(seen).toEqual(log.map((batch) => [`${runId}:${lastSeqOf(batch)}`, ...batch.events]))
  })

  it.each(['its signal aborts', 'the client is closed'])('ends raw subscriptions when %s', async (cause) => {
    await using server = await serve({ 'runs.follow': silent })
    const client = connect(server)
    const controller = new AbortController()
    const completed = vi.fn<() => void>()
    const onError = vi.fn<(error: unknown) => void>()
    client.trpc.runs.follow.subscribe({ runId }, { signal: controller.signal, onComplete: completed, onError })
    await expect.poll(() => server.openStreams).toBe(1)
    if (cause === 'the client is closed') client.close()
    else controller.abort()
    await expect.poll(() => server.openStreams).toBe(0)
    await expect.poll(() => completed).toHaveBeenCalledOnce()
    expect(onError).not.toHaveBeenCalled()
  })
})
