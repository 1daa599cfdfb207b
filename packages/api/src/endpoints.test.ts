/** Endpoints of other packages: what they need not do themselves. */
import { VerbatimError } from '@verbatim/core'
import { json } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Endpoint, EndpointAnswer, EndpointCall } from './http/endpoint.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const origin = 'https://app.example.com'
let inWork = 0
let mostInWork = 0

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of bytes) text += Buffer.from(chunk).toString()
  return text
}

async function read(call: EndpointCall): Promise<EndpointAnswer> {
  mostInWork = Math.max(mostInWork, ++inWork)
  try {
    const body = await textOf(call.readBody({ maxBytes: 40, acceptsText: true }))
    return { status: 201, headers: { 'x-echo': 'yes' }, json: { id: call.params.get('id'), owner: call.owner, body } }
  } finally {
    inWork--
  }
}

async function* wait(signal: AbortSignal): AsyncGenerator<string, void, void> {
  yield 'data: first\n\n'
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
}

async function* fail(error: Error): AsyncGenerator<string, void, void> {
  yield 'data: first\n\n'
  throw error
}

async function* once(): AsyncGenerator<string, void, void> {
  yield 'data: whole\n\n'
}

const lastWords = ({ message }: VerbatimError) => `data: ${message}\n\n`
const failures = { secret: new Error('a secret'), away: new VerbatimError('UNAVAILABLE', 'The database is away') }

const endpoints: readonly Endpoint[] = [
  {
    path: '/echo/:id',
    exposedHeaders: ['x-echo'],
    methods: {
      POST: read,
      GET: ({ query }) => Promise.reject(query.has('fault') ? failures.secret : new VerbatimError('RUN_NOT_FOUND')),
    },
  },
  { path: '/echo', methods: { GET: () => Promise.resolve({ status: 204 }) } },
  { path: '/wait', methods: { GET: () => Promise.resolve({ items: wait, lastWords }) } },
  {
    path: '/stream/:kind',
    methods: {
      GET: ({ params }) => {
        const failure = params.get('kind') === 'away' ? failures.away : failures.secret
        const items = () => (params.get('kind') === 'whole' ? once() : fail(failure))
        return Promise.resolve({ headers: { 'x-echo': 'yes' }, items, lastWords })
      },
    },
  },
]

let api: TestApi
beforeAll(async () => {
  api = await openTestApi({
    endpoints,
    heartbeatMs: 40,
    cors: { origins: [origin] },
    maxCallsPerPrincipal: 2,
    metrics: 'public',
  })
})
afterAll(async () => await api[Symbol.asyncDispose]())

it('An endpoint knows its caller and its place, and its answer has the headers of all answers', async () => {
  const response = await api.fetch('/echo/a%40b', {
    ...json({ a: 1 }),
    headers: { origin, 'content-type': 'application/json' },
  })
  expect(await response.json()).toEqual({
    id: 'a@b',
    owner: { tenantId: 'default', ownerId: 'alice' },
    body: '{"a":1}',
  })
  expect(response.status).toBe(201)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('access-control-expose-headers')).toContain('x-echo')
  expect((await api.fetch('/echo')).status).toBe(204)
})

it.each<[string, string, RequestInit & { user?: null }, number, string]>([
  ['no credentials', '/echo/a', { user: null }, 401, 'UNAUTHENTICATED'],
  ['a foreign page', '/echo/a', { headers: { 'sec-fetch-site': 'cross-site' } }, 403, 'FORBIDDEN'],
  ['another method', '/wait', { method: 'POST' }, 405, 'METHOD_NOT_ALLOWED'],
  ['another place', '/echo/a/b', {}, 404, 'NOT_FOUND'],
  ['an empty segment', '/echo/', {}, 404, 'NOT_FOUND'],
  ['a body that is too long', '/echo/a', json('x'.repeat(50)), 413, 'PAYLOAD_TOO_LARGE'],
  ['a form', '/echo/a', { method: 'POST', body: new URLSearchParams('a=b') }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  [
    'text of an old foreign page',
    '/echo/a',
    { method: 'POST', body: 'a', headers: { origin: 'https://evil.example' } },
    415,
    'UNSUPPORTED_MEDIA_TYPE',
  ],
  ['an error of the endpoint', '/echo/a', {}, 404, 'RUN_NOT_FOUND'],
  ['a fault of the endpoint', '/echo/a?fault', {}, 500, 'INTERNAL'],
])('The API answers for an endpoint: %s', async (_what, path, ...[init, status, code]) => {
  const response = await api.fetch(path, init)
  const text = await response.text()
  expect([response.status, (JSON.parse(text) as { error: { code: string } }).error.code]).toEqual([status, code])
  expect(text).not.toContain('secret')
})

it('Plain text passes where an endpoint takes it and its sender is no foreign page', async () => {
  for (const headers of [{}, { origin }, { origin: 'https://own.example', 'sec-fetch-site': 'same-origin' }]) {
    const response = await api.fetch('/echo/a', { method: 'POST', body: 'text', headers })
    expect(response.status).toBe(201)
  }
})

it('Calls of one caller take turns', async () => {
  await Promise.all(Array.from({ length: 8 }, async () => await api.fetch('/echo/a', json(1))))
  expect(mostInWork).toBeLessThanOrEqual(2)
})

it('A stream has heartbeats, ends when its items do, and says what has failed for good, without its secrets', async () => {
  const waiting = await api.fetch('/wait')
  const reader = waiting.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes(': ping')) text += (await reader?.read())?.value ?? ''
  expect(text.startsWith('data: first\n\n')).toBe(true)
  await reader?.cancel()
  const whole = await api.fetch('/stream/whole')
  expect([whole.headers.get('x-echo'), await whole.text()]).toEqual(['yes', 'data: whole\n\n'])
  const failed = await (await api.fetch('/stream/secret')).text()
  expect(failed).toMatch(/^data: first\n\ndata: .+\n\n$/)
  expect(failed).not.toContain('secret')
})

it('What may pass cuts a stream, and so does a server that closes', async () => {
  await expect((await api.fetch('/stream/away')).text()).rejects.toThrow('terminated')
  await using closing = await openTestApi({ endpoints })
  const response = await closing.fetch('/wait')
  const text = response.text()
  await vi.waitFor(async () =>
    expect(await (await closing.fetch('/metrics', { user: 'ops' })).text()).toContain(
      'verbatim_streams{kind="endpoint"} 1',
    ),
  )
  await closing.api.close()
  await expect(text).rejects.toThrow('terminated')
})

it('The metrics name an endpoint by its pattern, and a malformed path is refused at the start', async () => {
  await api.fetch('/echo/private-name')
  const metrics = await (await api.fetch('/metrics')).text()
  expect(metrics).toContain('route="/echo/:id",method="GET",status="404"')
  expect(metrics).not.toContain('private-name')
  await expect(openTestApi({ endpoints: [{ path: 'echo//', methods: {} }] })).rejects.toMatchObject({
    code: 'INVALID_CONFIGURATION',
  })
})
