/** A bad prompt gets a typed 400-class error that names the field, and nothing of the prompt is stored. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json } from '@verbatim/test-kit/http'
import { saying, startProviderOf } from '@verbatim/test-kit/provider'
import type { Provider } from '@verbatim/test-kit/provider'
import { countDocuments, errorOf, openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'

let app: App
let provider: Provider

beforeAll(async () => {
  provider = await startProviderOf(() => saying('Fine.'))
  app = await openApp({ agents: [claudeAt(provider.url)] })
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await provider[Symbol.asyncDispose]()
})

interface Way {
  readonly path: string
  /** A good body for this way in. */
  readonly body: () => Record<string, unknown>
  /** What the body's run id is called: a field of it, or a header. */
  readonly runIdField: 'runId' | 'Idempotency-Key'
}

const chatBody = () => ({ sessionId: 'session-1', message: 'Hello' })
const ways: Way[] = [
  {
    path: '/trpc/runs.start',
    body: () => ({ ...chatBody(), runId: crypto.randomUUID() }),
    runIdField: 'runId',
  },
  { path: '/chat/stream', body: chatBody, runIdField: 'Idempotency-Key' },
  { path: '/chat/sse', body: chatBody, runIdField: 'Idempotency-Key' },
]

interface BadCase {
  readonly name: string
  readonly code?: string
  readonly status?: number
  /** What the error names; nothing where the error is not about a field. */
  readonly field?: string
  readonly init: (way: Way) => RequestInit
}

const withField = (field: string, value: unknown) => (way: Way) => json({ ...way.body(), [field]: value })
const raw = (body: BodyInit, type = 'application/json') => ({ method: 'POST', headers: { 'content-type': type }, body })
const without = (field: string) => (way: Way) =>
  json(Object.fromEntries(Object.entries(way.body()).filter(([name]) => name !== field)))

const badPrompts: [string, unknown][] = [
  ['an empty prompt', ''],
  ['a prompt of white space', ' \t\r\n\u00a0\u2003\u3000'],
  ['a lone surrogate at the end', 'Hello \ud83d'],
  ['a lone surrogate in the middle', 'a\udc00b'],
  ['a NUL', 'before\0after'],
  ['a number for a prompt', 7],
  ['an empty list for a prompt', []],
  ['an object for a prompt', { $ne: null }],
  ['null for a prompt', null],
  ['a boolean for a prompt', true],
]

const good = { type: 'text', text: 'Hello' }
const png = { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' }
/** By name: the field that the error names, and the second block of the prompt. */
const badBlocks: [string, string, unknown][] = [
  ['a text in a list for a prompt', 'message.1', 'Hello'],
  ['a blank text block', 'message.1.text', { ...good, text: ' ' }],
  ['a NUL in a text block', 'message.1.text', { ...good, text: 'a\0b' }],
  ['a block of a provider in a prompt', 'message.1.type', { type: 'server_tool_use', id: 'a', name: 'b', input: {} }],
  ['a block of an unknown type in a prompt', 'message.1.type', { type: 'future' }],
  [
    'a tool result in a prompt',
    'message.1.type',
    { type: 'tool_result', tool_use_id: 'a', content: '', is_error: false },
  ],
  ['an unknown field in a block', 'message.1', { ...good, cache_control: { type: 'ephemeral' } }],
  ['an image without a source', 'message.1.source', { type: 'image' }],
  ['an image of another type', 'message.1.source.media_type', { type: 'image', source: { ...png, media_type: 'x' } }],
  ['an image that is no base64', 'message.1.source.data', { type: 'image', source: { ...png, data: '%%%%' } }],
  [
    'an image of a file of the provider',
    'message.1.source.type',
    { type: 'image', source: { type: 'file', file_id: 'x' } },
  ],
  ['an image at a data URL', 'message.1.source.url', { type: 'image', source: { type: 'url', url: 'data:,x' } }],
  ['a document that is an image', 'message.1.source.media_type', { type: 'document', source: png }],
  ['a lone surrogate in what an image shows', 'message.1', { type: 'image', source: png, alt: 'x\ud83d' }],
]

const badSessions: [string, unknown][] = [
  ['an empty session id', ''],
  ['a session id with a slash', '../etc'],
  ['a session id that is an operator', { $gt: '' }],
  ['a session id that is too long', 's'.repeat(129)],
  ['a session id with a NUL', 'session\0'],
  ['a session id with a line break', 'session\n'],
  ['a session id beyond ASCII', 'sitzung-ß'],
  ['a number for a session id', 1],
]

const cases: BadCase[] = [
  ...badPrompts.map(([name, value]) => ({ name, field: 'message', init: withField('message', value) })),
  ...badBlocks.map(([name, field, block]) => ({ name, field, init: withField('message', [good, block]) })),
  ...badSessions.map(([name, value]) => ({ name, field: 'sessionId', init: withField('sessionId', value) })),
  { name: 'no prompt', field: 'message', init: without('message') },
  { name: 'no session id', field: 'sessionId', init: without('sessionId') },
  // The name of an unknown field is the caller's own text, so no error holds it.
  { name: 'an unknown key', field: '', init: withField('temperature', 0.5) },
  { name: 'an owner in the body', field: '', init: withField('ownerId', 'eve') },
  { name: 'an operator for a key', field: '', init: withField('$where', '1') },
  { name: 'a malformed agent id', field: 'agentId', init: withField('agentId', '../agent') },
  { name: 'null for an agent id', field: 'agentId', init: withField('agentId', null) },
  {
    name: 'an agent that is not there',
    code: 'AGENT_NOT_FOUND',
    status: 404,
    field: 'agentId',
    init: withField('agentId', 'unknown'),
  },
  {
    name: 'a prompt of 600 KB',
    code: 'MESSAGE_TOO_LARGE',
    status: 413,
    field: 'message',
    init: withField('message', 'x'.repeat(600 * 1024)),
  },
  {
    name: 'a prompt whose characters fit and whose bytes do not',
    code: 'MESSAGE_TOO_LARGE',
    status: 413,
    field: 'message',
    init: withField('message', 'ß'.repeat(300 * 1024)),
  },
  {
    name: 'a prompt of 1 MB',
    code: 'PAYLOAD_TOO_LARGE',
    status: 413,
    init: withField('message', 'x'.repeat(1024 * 1024)),
  },
  {
    name: 'a prompt of 1 MB whose length is not announced',
    code: 'PAYLOAD_TOO_LARGE',
    status: 413,
    init: (way) => {
      const body = new Blob([JSON.stringify({ ...way.body(), message: 'x'.repeat(1024 * 1024) })]).stream()
      return { ...raw(body), duplex: 'half' }
    },
  },
  { name: 'malformed JSON', field: '', init: () => raw('{"sessionId":"session-1","message":"Hel') },
  { name: 'no body', field: '', init: () => raw('') },
  { name: 'null for a body', field: '', init: () => raw('null') },
  { name: 'a list for a body', field: '', init: () => raw('["Hello"]') },
  { name: 'a string for a body', field: '', init: () => raw('"Hello"') },
  {
    name: 'bytes that are not UTF-8',
    field: '',
    init: (way) => {
      const [before = '', after = ''] = JSON.stringify({ ...way.body(), message: 'caf|' }).split('|')
      return raw(Buffer.concat([Buffer.from(before), Buffer.from([0xe9]), Buffer.from(after)])) // é as Latin-1 has it
    },
  },
  ...['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx'].map((type) => ({
    name: `JSON that says it is ${type}`,
    code: 'UNSUPPORTED_MEDIA_TYPE',
    status: 415,
    init: (way: Way) => raw(JSON.stringify(way.body()), type),
  })),
]

const badRunIds = ['', '1', 'not-a-uuid', '{"$ne":null}', `${crypto.randomUUID()}0`]

describe.each(ways)('$path', (way) => {
  const call = async (init: RequestInit) => await app.fetch(way.path, init)

  it.each(cases)(
    'the server refuses $name and stores nothing',
    async ({ code = 'INVALID_INPUT', status = 400, field, init }) => {
      const before = await countDocuments(app.database)
      const response = await call(init(way))
      const error = await errorOf(response)
      expect({ status: response.status, code: error.code }).toEqual({ status, code })
      expect(error.retryable).toBe(false)
      expect(error.data.field).toBe(field)
      expect(await countDocuments(app.database)).toEqual(before)
    },
  )

  it.each(badRunIds)('the server refuses the run id %j and stores nothing', async (runId) => {
    const before = await countDocuments(app.database)
    const init =
      way.runIdField === 'runId' ? withField('runId', runId)(way) : json(way.body(), { [way.runIdField]: runId })
    const response = await call(init)
    const error = await errorOf(response)
    expect([response.status, error.code, error.data]).toEqual([400, 'INVALID_INPUT', { field: way.runIdField }])
    expect(await countDocuments(app.database)).toEqual(before)
  })

  it('the server refuses a caller without credentials before it reads the prompt', async () => {
    const before = await countDocuments(app.database)
    const response = await app.fetch(way.path, { ...json({ message: 7 }), user: null })
    expect([response.status, (await errorOf(response)).code]).toEqual([401, 'UNAUTHENTICATED'])
    expect(await countDocuments(app.database)).toEqual(before)
  })
})

describe('after all of it', () => {
  it('after every refusal nothing is stored, no model was asked, and a good prompt is answered on every endpoint', async () => {
    const counts = Object.values(await countDocuments(app.database))
    expect(counts.length).toBeGreaterThanOrEqual(5) // the collections were there to be counted
    expect(counts.every((count) => count === 0)).toBe(true)
    expect(provider.calls).toHaveLength(0)
    expect(app.engine.stats().runsStarted).toBe(0)
    for (const [nth, way] of ways.entries()) {
      const sessionId = `session-${nth}`
      const response = await app.fetch(way.path, json({ ...way.body(), sessionId }))
      expect(response.status).toBe(200)
      await response.text()
    }
    await expect.poll(async () => (await countDocuments(app.database))['messages']).toBe(6)
    expect(provider.calls).toHaveLength(3)
  })

  it('a prompt of exactly the largest size is answered', async () => {
    const message = 'ß'.repeat(256 * 1024)
    const run = app.client().chat('session-limit').send(message)
    expect((await run.message).status).toBe('completed')
    expect(provider.calls.at(-1)?.body.messages).toMatchObject([{ content: [{ text: message }] }])
  })
})
