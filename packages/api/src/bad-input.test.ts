/** The API answers a bad request with a typed 4xx; nothing of the request reaches the engine. Prompts: tests/system/bad-input. */
import { inputBounds } from '@verbatim/core'
import { json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

let app: TestApi
beforeAll(async () => void (app = await openTestApi()))
afterAll(async () => await app[Symbol.asyncDispose]())

const deep = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown
const prompt = (message: string, more: object = {}) =>
  json({ sessionId: 's', runId: crypto.randomUUID(), message, ...more })
/** A message whose tool call has this input, as JSON text. */
const toolUse = (input: string) => {
  const content = [{ type: 'tool_use', id: 't', name: 'n', input: 'here' }]
  return { ...json({}), body: JSON.stringify({ sessionId: 's', role: 'assistant', content }).replace('"here"', input) }
}
/** A prompt of these blocks. */
const blocks = (...message: object[]) => json({ sessionId: 's', runId: crypto.randomUUID(), message })
const said = { type: 'text', text: 'x' }
const image = (source: object) => ({ type: 'image', source })
const url = { type: 'url', url: 'https://example.com/a.png' }
const loneAlt = { ...json({}), body: blocks({ ...image(url), alt: 'here' }).body.replace('here', '\\ud83d') }
const appended = (block: object) => json({ sessionId: 's', role: 'assistant', content: [block] })
const pollutedFuture = {
  ...json({}),
  body: appended({ type: 'future' }).body.replace('}', ',"__proto__":{"polluted":1}}'),
}
/** A start with this input, as JSON text. */
const rawStart = (input: string) => `{"sessionId":"s","runId":"${crypto.randomUUID()}","message":"hi","input":${input}}`
const post = (body: NonNullable<RequestInit['body']>) => ({ method: 'POST', body })
const bytes = new Uint8Array([123, 125])

const start = '/trpc/runs.start'
const append = '/trpc/messages.append'
const chat = { sessionId: 's', message: 'hi' }

describe('bad input', () => {
  /** By status and code: what is wrong, and the call. */
  const cases: Record<string, [string, string, RequestInit?][]> = {
    '400 INVALID_INPUT': [
      ['an operator as an id', query('sessions.get', { sessionId: { $ne: null } })],
      ['an unknown field', query('sessions.get', { sessionId: 's', admin: true })],
      ['an unknown field in a list', query('sessions.list', { where: {} })],
      ['a missing input', '/trpc/sessions.get'],
      ['a malformed input', '/trpc/sessions.get?input=%7B%22s'],
      ['a malformed body', start, { ...json({}), body: '{"a":' }],
      ['an undecodable path', '/trpc/%E0%A4%A'],
      ['a lone surrogate in a block', append, toolUse('{"a":"\\ud83d"}')],
      ['a NUL in a key', append, toolUse('{"a\\u0000":1}')],
      ['__proto__ as a key', append, toolUse('{"__proto__":{"polluted":1}}')],
      ['deep nesting', append, toolUse(JSON.stringify(deep(200)))],
      ['nesting that is deeper than any stack', append, toolUse('['.repeat(4e5) + ']'.repeat(4e5))],
      ['a run id that is no UUID', start, prompt('hi', { runId: '1' })],
      ['an idempotency key that is no UUID', '/chat/stream', json(chat, { 'idempotency-key': 'k' })],
      ['a prompt of no blocks', start, blocks()],
      ['a prompt of 101 blocks', start, blocks(...Array.from({ length: 101 }, () => said))],
      ['a blank text in a prompt of blocks', start, blocks({ type: 'text', text: ' ' })],
      [
        'a block of another type in a prompt',
        start,
        blocks({ type: 'server_tool_use', id: 'a', name: 'b', input: {} }),
      ],
      ['a prompt that is a number', start, json({ sessionId: 's', runId: crypto.randomUUID(), message: 7 })],
      ['an image of another type', start, blocks(image({ type: 'base64', media_type: 'image/tiff', data: 'AAAA' }))],
      ['an image that is no base64', start, blocks(image({ type: 'base64', media_type: 'image/png', data: '****' }))],
      ['an image of a file of the provider', start, blocks(image({ type: 'file', file_id: 'file_1' }))],
      ['an image at a data URL', start, blocks(image({ type: 'url', url: 'data:image/png;base64,AAAA' }))],
      ['an attachment id that is no UUID', start, blocks(image({ type: 'attachment', attachment_id: '../x' }))],
      ['a lone surrogate in what an image shows', start, loneAlt],
      ['a known block of a provider without its fields', append, appended({ type: 'server_tool_use', name: 'x' })],
      ['a block of an unknown type with __proto__', append, pollutedFuture],
      ['an unknown field in a chat', '/chat/sse', json({ ...chat, userId: 'bob' })],
      ['a limit of 0', query('sessions.list', { limit: 0 })],
      ['a limit of 1e9', query('sessions.list', { limit: 1e9 })],
      ['an input for an agent that takes none', start, prompt('hi', { input: {} })],
      ['an input for an agent that takes none, in a chat', '/chat/stream', json({ ...chat, input: 1 })],
      ['__proto__ in an input', start, { ...prompt('hi'), body: rawStart('{"__proto__":1}') }],
      ['a NUL in an input', start, { ...prompt('hi'), body: rawStart('["\\u0000"]') }],
      ['a lone surrogate in an input', start, { ...prompt('hi'), body: rawStart('"\\ud83d"') }],
      ['a session id with a slash', query('sessions.get', { sessionId: '../x' })],
    ],
    '400 INVALID_CURSOR': [['a page cursor that the server never gave', query('sessions.list', { cursor: 'x' })]],
    '404 AGENT_NOT_FOUND': [['an unknown agent', start, prompt('hi', { agentId: 'unknown' })]],
    '404 NOT_FOUND': [
      ['an unknown procedure', '/trpc/sessions.drop'],
      ['the procedure __proto__', '/trpc/__proto__'],
      ['the procedure constructor', '/trpc/constructor'],
      ['toString of a router', '/trpc/sessions.toString'],
      ['an unknown path', '/admin'],
      ['the path /__proto__', '/__proto__'],
      ['the path /constructor', '/constructor'],
    ],
    '405 METHOD_NOT_ALLOWED': [
      ['GET on a mutation', query('runs.start', {})],
      ['POST on a query', '/trpc/sessions.list', json({})],
      ['PUT', '/trpc/sessions.list', { ...json({}), method: 'PUT' }],
      ['GET on a chat', '/chat/stream'],
    ],
    '413 MESSAGE_TOO_LARGE': [
      ['a prompt that is too large', start, prompt('x'.repeat(600 * 1024))],
      ['an input that is too large', start, prompt('hi', { input: 'x'.repeat(65 * 1024) })],
    ],
    '415 UNSUPPORTED_MEDIA_TYPE': [
      ['text/plain', start, post('{}')],
      ['a form', start, post(new URLSearchParams({ a: '1' }))],
      ['a multipart form', start, post(new FormData())],
      ['bytes', start, json({}, { 'content-type': 'application/octet-stream' })],
      ['a body without a content type', start, post(bytes)],
      ['a chat without a content type', '/chat/sse', post(bytes)],
    ],
  }
  const rows = Object.entries(cases).flatMap(([answer, calls]) =>
    calls.map(([name, path, init]) => ({ answer, name, path, init })),
  )

  it.each(rows)('the API answers $answer to $name', async ({ answer, path, init }) => {
    const { status, code } = await readOutcome(await app.fetch(path, init))
    expect(`${status} ${code}`).toBe(answer)
    expect('polluted' in {}).toBe(false)
  })

  it('an error about bad input names the field', async () => {
    const response = await app.fetch(query('messages.list', { sessionId: 's', order: 'sideways' }))
    expect(await response.json()).toMatchObject({ error: { data: { verbatim: { data: { field: 'order' } } } } })
  })

  it('an error about an unknown field names the place, and nothing that the caller sent', async () => {
    const unknown = await (await app.fetch(query('messages.list', { sessionId: 's', $where: '1' }))).text()
    expect(JSON.parse(unknown)).toMatchObject({ error: { data: { verbatim: { data: { field: '' } } } } })
    expect(unknown).not.toContain('$where')
    const block = await (await app.fetch(append, toolUse('1,"$where":1'))).text()
    expect(JSON.parse(block)).toMatchObject({ error: { data: { verbatim: { data: { field: 'content.0' } } } } })
    expect(block).not.toContain('$where')
    const procedure = await (await app.fetch('/trpc/sessions.secret')).text()
    expect(procedure).not.toContain('secret')
  })

  it.each([
    ['more values', `[${'1,'.repeat(inputBounds.maxNodes)}1]`],
    ['deeper nesting', '['.repeat(inputBounds.maxDepth) + ']'.repeat(inputBounds.maxDepth)],
    ['a longer key', `{"${'k'.repeat(inputBounds.maxKeyLength + 1)}":1}`],
    ['a number out of range', '1e400'],
  ])('the API refuses %s than an input may have', async (_what, input) => {
    const { status, code } = await readOutcome(await app.fetch(append, toolUse(input)))
    expect(`${status} ${code}`).toBe('400 INVALID_INPUT')
  })

  it('an input with as many values as it may have is stored as it came', async () => {
    const input = JSON.parse(`[${'[],'.repeat(inputBounds.maxNodes / 2 - 20)}[]]`) as unknown
    const stored = await (await app.fetch(append, toolUse(JSON.stringify(input)))).json()
    expect(stored).toMatchObject({ result: { data: { content: [{ input }] } } })
  })
})
