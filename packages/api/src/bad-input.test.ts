/** What is wrong with a request is told by a typed 4xx; nothing of it reaches the engine. */
import { json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { outcomeOf } from './testing/outcome-of.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi
beforeAll(async () => void (app = await openTestApi()))
afterAll(async () => await app[Symbol.asyncDispose]())

const deep = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown
const text = (value: string) => ({ sessionId: 's', runId: crypto.randomUUID(), message: value })
const toolUse = (input: unknown) => ({
  sessionId: 's',
  role: 'assistant',
  content: [{ type: 'tool_use', id: 't', name: 'n', input }],
})

describe('bad input', () => {
  const start = '/trpc/runs.start'
  const append = '/trpc/messages.append'
  const cases: [string, () => Promise<Response>, number, string][] = [
    [
      'an operator for an id',
      async () => await app.fetch(query('sessions.get', { sessionId: { $ne: null } })),
      400,
      'INVALID_INPUT',
    ],
    [
      'an unknown field',
      async () => await app.fetch(query('sessions.get', { sessionId: 's', admin: true })),
      400,
      'INVALID_INPUT',
    ],
    [
      'an unknown field in a list',
      async () => await app.fetch(query('sessions.list', { where: {} })),
      400,
      'INVALID_INPUT',
    ],
    ['no input', async () => await app.fetch('/trpc/sessions.get'), 400, 'INVALID_INPUT'],
    ['malformed input', async () => await app.fetch('/trpc/sessions.get?input=%7B%22s'), 400, 'INVALID_INPUT'],
    ['a malformed body', async () => await app.fetch(start, { ...json({}), body: '{"a":' }), 400, 'INVALID_INPUT'],
    ['text/plain', async () => await app.fetch(start, { method: 'POST', body: '{}' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
    [
      'a form',
      async () => await app.fetch(start, { method: 'POST', body: new URLSearchParams({ a: '1' }) }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    [
      'a multipart form',
      async () => await app.fetch(start, { method: 'POST', body: new FormData() }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    [
      'bytes',
      async () => await app.fetch(start, { ...json({}, { 'content-type': 'application/octet-stream' }) }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    [
      'no content type',
      async () => await app.fetch(start, { method: 'POST', body: new Uint8Array([123, 125]) }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    [
      'no content type in a chat',
      async () => await app.fetch('/chat/sse', { method: 'POST', body: new Uint8Array([123, 125]) }),
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['GET on a mutation', async () => await app.fetch(query('runs.start', {})), 405, 'METHOD_NOT_ALLOWED'],
    ['POST on a query', async () => await app.fetch('/trpc/sessions.list', json({})), 405, 'METHOD_NOT_ALLOWED'],
    [
      'PUT',
      async () => await app.fetch('/trpc/sessions.list', { ...json({}), method: 'PUT' }),
      405,
      'METHOD_NOT_ALLOWED',
    ],
    ['GET on a chat', async () => await app.fetch('/chat/stream'), 405, 'METHOD_NOT_ALLOWED'],
    ['an unknown procedure', async () => await app.fetch('/trpc/sessions.drop'), 404, 'NOT_FOUND'],
    ['__proto__', async () => await app.fetch('/trpc/__proto__'), 404, 'NOT_FOUND'],
    ['constructor', async () => await app.fetch('/trpc/constructor'), 404, 'NOT_FOUND'],
    ['toString of a router', async () => await app.fetch('/trpc/sessions.toString'), 404, 'NOT_FOUND'],
    ['an unknown path', async () => await app.fetch('/admin'), 404, 'NOT_FOUND'],
    ['/__proto__', async () => await app.fetch('/__proto__'), 404, 'NOT_FOUND'],
    ['/constructor', async () => await app.fetch('/constructor'), 404, 'NOT_FOUND'],
    ['an undecodable path', async () => await app.fetch('/trpc/%E0%A4%A'), 400, 'INVALID_INPUT'],
    ['an empty prompt', async () => await app.fetch(start, json(text('  \n'))), 400, 'INVALID_INPUT'],
    ['a NUL', async () => await app.fetch(start, json(text('a\0b'))), 400, 'INVALID_INPUT'],
    ['a lone surrogate', async () => await app.fetch(start, json(text('a\ud83d'))), 400, 'INVALID_INPUT'],
    [
      'a lone surrogate in a block',
      async () => await app.fetch(append, json(toolUse({ a: '\ud83d' }))),
      400,
      'INVALID_INPUT',
    ],
    ['a NUL in a key', async () => await app.fetch(append, json(toolUse({ 'a\0': 1 }))), 400, 'INVALID_INPUT'],
    [
      '__proto__ as a key',
      async () =>
        await app.fetch(append, {
          ...json({}),
          body: JSON.stringify(toolUse(7)).replace('7', '{"__proto__":{"polluted":1}}'),
        }),
      400,
      'INVALID_INPUT',
    ],
    ['deep nesting', async () => await app.fetch(append, json(toolUse(deep(200)))), 400, 'INVALID_INPUT'],
    [
      'deeper nesting than any stack',
      async () =>
        await app.fetch(append, {
          ...json({}),
          body: JSON.stringify(toolUse(7)).replace('7', '['.repeat(4e5) + ']'.repeat(4e5)),
        }),
      400,
      'INVALID_INPUT',
    ],
    [
      'a prompt too large',
      async () => await app.fetch(start, json(text('x'.repeat(600 * 1024)))),
      413,
      'MESSAGE_TOO_LARGE',
    ],
    [
      'a run id that is none',
      async () => await app.fetch(start, json({ ...text('hi'), runId: '1' })),
      400,
      'INVALID_INPUT',
    ],
    [
      'a run id in a key that is none',
      async () => await app.fetch('/chat/stream', json({ sessionId: 's', message: 'hi' }, { 'idempotency-key': 'k' })),
      400,
      'INVALID_INPUT',
    ],
    [
      'an unknown field in a chat',
      async () => await app.fetch('/chat/sse', json({ sessionId: 's', message: 'hi', userId: 'bob' })),
      400,
      'INVALID_INPUT',
    ],
    [
      'an unknown agent',
      async () => await app.fetch(start, json({ ...text('hi'), agentId: 'nobody' })),
      404,
      'AGENT_NOT_FOUND',
    ],
    ['a limit of 0', async () => await app.fetch(query('sessions.list', { limit: 0 })), 400, 'INVALID_INPUT'],
    ['a limit of 1e9', async () => await app.fetch(query('sessions.list', { limit: 1e9 })), 400, 'INVALID_INPUT'],
    [
      'a page cursor that is none',
      async () => await app.fetch(query('sessions.list', { cursor: 'x' })),
      400,
      'INVALID_CURSOR',
    ],
    [
      'a session id with a slash',
      async () => await app.fetch(query('sessions.get', { sessionId: '../x' })),
      400,
      'INVALID_INPUT',
    ],
  ]

  for (const [name, call, status, code] of cases) {
    it(`refuses ${name}`, async () => {
      const outcome = await outcomeOf(await call())
      expect([outcome.status, outcome.code]).toEqual([status, code])
      expect(Object.keys({})).toEqual([])
      expect('polluted' in {}).toBe(false)
    })
  }

  it('is named by its field', async () => {
    const response = await app.fetch(query('messages.list', { sessionId: 's', order: 'sideways' }))
    expect(await response.json()).toMatchObject({ error: { data: { verbatim: { data: { field: 'order' } } } } })
    const unknown = await app.fetch(query('messages.list', { sessionId: 's', $where: '1' }))
    expect(await unknown.json()).toMatchObject({ error: { data: { verbatim: { data: { field: '$where' } } } } })
  })
})
