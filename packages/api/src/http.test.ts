import { connect } from 'node:net'
import { allFrames, json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApi } from './create-api.ts'
import { readOutcome } from './testing/read-outcome.ts'
import { authenticateByName, openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi
const page = 'https://app.example.com'
beforeAll(
  async () => void (app = await openTestApi({ cors: { origins: [page] }, maxBodyBytes: 4096, maxBatchSize: 3 })),
)
afterAll(async () => await app[Symbol.asyncDispose]())

describe('health', () => {
  it('the health endpoints are open to all and reveal no more than they must', async () => {
    const live = await app.fetch('/health/live', { user: null })
    expect([live.status, await live.json()]).toEqual([200, { status: 'live' }])
    const ready = await app.fetch('/health/ready', { user: null })
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', hints: 'change_streams' }])
    const head = await app.fetch('/health/ready', { user: null, method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('a draining server is alive but not ready', async () => {
    await using other = await openTestApi()
    await other.engine.drain({ graceMs: 0 })
    expect((await other.fetch('/health/live')).status).toBe(200)
    const ready = await other.fetch('/health/ready')
    expect([ready.status, await ready.json()]).toMatchObject([503, { error: { code: 'UNAVAILABLE' } }])
    const start = await readOutcome(await other.fetch('/chat/stream', json({ sessionId: 's', message: 'late' })))
    expect([start.status, start.code]).toEqual([503, 'UNAVAILABLE'])
  })

  it('a server without its database is not ready', async () => {
    const ready = async () => await new Promise<never>(() => {})
    await using other = await openTestApi({ replaceParts: () => ({ ready }) })
    // Counted in turns of the event loop, since a busy machine may stretch the time.
    let ticks = 0
    const timer = setInterval(() => (ticks += 1), 100)
    expect((await other.fetch('/health/ready')).status).toBe(503)
    clearInterval(timer)
    expect(ticks).toBeLessThan(50) // in 5 s
  })
})

describe('metrics', () => {
  it('the metrics are for principals with the scope, unless they are public or off', async () => {
    expect((await readOutcome(await app.fetch('/metrics', { user: null }))).code).toBe('UNAUTHENTICATED')
    expect((await readOutcome(await app.fetch('/metrics'))).code).toBe('FORBIDDEN')
    expect((await app.fetch('/metrics', { user: 'ops' })).status).toBe(200)
    const openly = createApi({ engine: app.engine, authenticate: authenticateByName, metrics: 'public' })
    expect((await openly.fetchHandler(new Request('http://x/metrics'))).status).toBe(200)
    const off = createApi({ engine: app.engine, authenticate: authenticateByName, metrics: 'off' })
    const ops = new Request('http://x/metrics', { headers: { authorization: 'Bearer ops' } })
    expect((await off.fetchHandler(ops)).status).toBe(404)
  })

  it('the metrics count runs, streams and requests under labels that callers cannot add to', async () => {
    await using other = await openTestApi()
    const runId = await other.startRun('a b')
    await allFrames(await other.fetch(query('runs.follow', { runId })))
    await (await other.fetch(`/trpc/${'x'.repeat(50)}`)).text()
    await (await other.fetch(`/${'y'.repeat(50)}`)).text()
    await (await other.fetch('/chat/sse/not-a-run')).text()
    const silent = await other.startRun('/hang')
    const following = await other.fetch(query('runs.follow', { runId: silent }))
    const text = await (await other.fetch('/metrics', { user: 'ops' })).text()
    for (const line of [
      'verbatim_runs_started_total 2',
      'verbatim_runs_active 1',
      'verbatim_runs_ended_total{status="completed"} 1',
      'verbatim_streams{kind="trpc"} 1',
      'verbatim_streams_ended_total{kind="trpc",end="complete"} 1',
      'verbatim_http_requests_total{route="/trpc/runs.start",method="POST",status="200"} 2',
      'verbatim_http_requests_total{route="/trpc/(unknown)",method="GET",status="404"} 1',
      'verbatim_http_requests_total{route="(unknown)",method="GET",status="404"} 1',
      'verbatim_http_requests_total{route="/chat/sse/:runId",method="GET",status="400"} 1',
    ]) {
      expect(text.split('\n')).toContain(line)
    }
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(text).not.toMatch(/xxxx|yyyy/)
    await following.body?.cancel()
  })
})

describe('every response', () => {
  it('every response forbids caching and sniffing, and names no server software', async () => {
    const paths = [
      '/health/live',
      '/nowhere',
      query('sessions.list', {}),
      '/trpc/nothing',
      '/chat/sse/x',
      query('runs.follow', {}),
    ]
    for (const path of paths) {
      const { headers, body } = await app.fetch(path)
      await body?.cancel()
      expect([path, headers.get('x-content-type-options'), headers.get('x-powered-by')]).toEqual([
        path,
        'nosniff',
        null,
      ])
      expect(headers.get('cache-control')).toContain('no-store')
    }
  })
})

describe('limits', () => {
  it('the limit for bodies holds with and without a content length, and the refusal arrives', async () => {
    const big = JSON.stringify({ sessionId: 's', message: 'x'.repeat(10_000) })
    const stream = () => new Blob([big]).stream()
    const chunked = { method: 'POST', headers: { 'content-type': 'application/json' }, duplex: 'half' as const }
    for (const path of ['/trpc/runs.start', '/chat/stream', '/chat/sse']) {
      const announced = await readOutcome(await app.fetch(path, { ...json({}), body: big }))
      expect([path, announced.status, announced.code]).toEqual([path, 413, 'PAYLOAD_TOO_LARGE'])
      const unannounced = await readOutcome(await app.fetch(path, { ...chunked, body: stream() }))
      expect([path, unannounced.status, unannounced.code]).toEqual([path, 413, 'PAYLOAD_TOO_LARGE'])
    }
  })

  it('the limit for batches holds', async () => {
    const batch = async (size: number) => {
      const paths = Array.from({ length: size }, () => 'sessions.list').join(',')
      const input = Object.fromEntries(Array.from({ length: size }, (_value, index) => [index, {}]))
      return await app.fetch(`/trpc/${paths}?batch=1&input=${encodeURIComponent(JSON.stringify(input))}`)
    }
    expect((await batch(3)).status).toBe(200)
    const over = await readOutcome(await batch(4))
    expect([over.status, over.code]).toEqual([400, 'INVALID_INPUT'])
  })

  it('runs.follow is refused in batches and in other spellings', async () => {
    const input = encodeURIComponent(JSON.stringify({ 0: { runId: crypto.randomUUID() } }))
    const batched = await app.fetch(`/trpc/runs.follow,runs.follow?batch=1&input=${input}`)
    expect(batched.status).toBe(400)
    await batched.text()
    const encoded = await app.fetch(query('runs%2Efollow', { runId: crypto.randomUUID() }))
    expect((await allFrames(encoded))[0]?.retry).toBeDefined() // ours, not tRPC's writer
  })

  it('the server survives a caller that leaves in the middle of a body', async () => {
    const { port } = new URL(app.url)
    const socket = connect(Number(port), '127.0.0.1')
    const head = [
      'POST /chat/stream HTTP/1.1',
      'host: x',
      'authorization: Bearer alice',
      'content-type: application/json',
    ]
    socket.write(`${head.join('\r\n')}\r\ncontent-length: 500\r\n\r\n{"sessionId":`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    socket.destroy()
    expect((await app.fetch('/health/live')).status).toBe(200)
    expect(app.logged.filter(({ message }) => message.includes('unexpectedly'))).toEqual([])
  })
})

describe('CORS', () => {
  const from = (origin: string) => ({ headers: { origin } })

  it('CORS lets listed pages in, and only them', async () => {
    for (const path of ['/health/live', query('sessions.list', {}), query('runs.follow', {}), '/nowhere']) {
      const listed = await app.fetch(path, from(page))
      await listed.body?.cancel()
      expect([path, listed.headers.get('access-control-allow-origin')]).toEqual([path, page])
      expect(listed.headers.get('vary')).toContain('origin')
      for (const origin of ['https://evil.example.com', 'null', `${page}.evil.com`, page.replace('https', 'http')]) {
        const foreign = await app.fetch(path, from(origin))
        await foreign.body?.cancel()
        expect([origin, foreign.headers.get('access-control-allow-origin')]).toEqual([origin, null])
      }
    }
  })

  it('CORS answers preflights', async () => {
    const preflight = async (origin: string, headers: Record<string, string> = {}) =>
      await app.fetch('/trpc/runs.start', {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', ...headers },
        user: null,
      })
    const listed = await preflight(page)
    expect([listed.status, listed.headers.get('access-control-allow-methods')]).toEqual([204, 'GET, POST'])
    expect(listed.headers.get('access-control-allow-headers')).toContain('idempotency-key')
    const foreign = await preflight('https://evil.example.com')
    expect(foreign.headers.get('access-control-allow-methods')).toBeNull()
    const allowed = async (asked: string, origin = page) =>
      (await preflight(origin, { 'access-control-request-headers': asked })).headers.get('access-control-allow-headers')
    expect(await allowed('content-type,traceparent, x-gateway-key')).toBe('content-type,traceparent, x-gateway-key')
    expect(await allowed('traceparent', 'https://evil.example.com')).toBeNull()
    for (const odd of ['a b', '<x>', ',', `x,${'y'.repeat(1_000)}`])
      expect(await allowed(odd)).toContain('idempotency-key')
  })

  it('CORS is off by default', async () => {
    await using other = await openTestApi()
    const preflight = await other.fetch('/trpc/runs.start', { method: 'OPTIONS', headers: { origin: page } })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([405, null])
  })

  it('createApi refuses malformed CORS origins', () => {
    for (const origins of [['*'], ['https://a.example.com/'], ['a.example.com'], []]) {
      expect(() => createApi({ engine: app.engine, authenticate: () => null, cors: { origins } })).toThrow(
        expect.objectContaining({ code: 'INVALID_CONFIGURATION' }),
      )
    }
  })
})

describe('fetchHandler', () => {
  it('fetchHandler answers like nodeHandler', async () => {
    const api = createApi({
      engine: app.engine,
      authenticate: authenticateByName,
      basePath: '/api/v1',
      trpcPath: '/rpc',
    })
    const call = async (path: string, init: RequestInit = {}) => {
      const headers = new Headers(init.headers)
      headers.set('authorization', 'Bearer gus')
      return await api.fetchHandler(new Request(`http://x/api/v1${path}`, { ...init, headers }))
    }
    const runId = crypto.randomUUID()
    const started = await call('/rpc/runs.start', json({ runId, sessionId: 'f', message: 'web standard' }))
    expect([started.status, started.headers.get('x-content-type-options')]).toEqual([200, 'nosniff'])
    await started.text()
    const frames = await allFrames(
      await call(`/rpc/runs.follow?input=${encodeURIComponent(JSON.stringify({ runId }))}`),
    )
    expect(frames.at(-1)).toEqual({ event: 'return', data: '' })
    expect(await (await call('/chat/stream', json({ sessionId: 'g', message: 'plain text' }))).text()).toBe(
      'plain text ',
    )
    const cut = await call('/chat/stream', json({ sessionId: 'h', message: 'half /fail' }))
    await expect(cut.text()).rejects.toThrow('cut off')
    expect((await call('/chat/stream', json({ sessionId: 'i', message: '/fail' }))).status).toBe(502)
    expect((await api.fetchHandler(new Request('http://x/rpc/sessions.list'))).status).toBe(404)
    expect((await call('/rpc/sessions.drop')).status).toBe(404)
    expect((await call('/chat/sse', { ...json({}), body: 'x'.repeat(2e6) })).status).toBe(413)
    await api.close()
  })

  it('fetchHandler stops following a run when its reader leaves', async () => {
    await using other = await openTestApi()
    const runId = await other.startRun('a /hang')
    const request = new Request(`http://x${query('runs.follow', { runId })}`, {
      headers: { authorization: 'Bearer alice' },
    })
    const { body } = await other.api.fetchHandler(request)
    await body?.getReader().read()
    await expect.poll(() => other.engine.stats().followers).toBe(1)
    const leaving = new AbortController()
    const second = await other.api.fetchHandler(new Request(request, { signal: leaving.signal }))
    await expect.poll(() => other.engine.stats().followers).toBe(2)
    leaving.abort()
    await expect.poll(() => other.engine.stats().followers).toBe(1)
    await expect(second.text()).rejects.toThrow('cut off')
  })
})
