/** Files over the wire: whole or not stored, their owner's alone, and harmless to the browser that shows them. */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Attachment } from '@verbatim/core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const page = 'https://app.example.com'
const mebibyte = 1024 * 1024
const pngHead = Buffer.from(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478',
  'hex',
)
const picture = Buffer.concat([pngHead, randomBytes(2 * mebibyte)])

let app: TestApi
beforeAll(async () => void (app = await openTestApi({ cors: { origins: [page] } })))
afterAll(async () => await app[Symbol.asyncDispose]())

function sending(body: BodyInit, headers: Record<string, string> = {}) {
  return { method: 'POST', body, headers: { 'content-type': 'application/octet-stream', ...headers } }
}

async function upload(headers: Record<string, string> = {}, body: BodyInit = picture): Promise<Attachment> {
  const response = await app.fetch('/attachments', sending(body, headers))
  expect(response.status).toBe(201)
  return Attachment.parse(await response.json())
}

async function storedFiles({ database }: TestApi): Promise<number[]> {
  const db = database.client.db(database.databaseName)
  return await Promise.all(
    ['attachments', 'loose_bytes', 'attachment_bytes.chunks'].map((name) => db.collection(name).countDocuments()),
  )
}

describe('an upload', () => {
  it('answers the stored file, and the same id with the same file the same answer', async () => {
    const id = crypto.randomUUID()
    const headers = { 'idempotency-key': id, 'x-file-name': encodeURIComponent('Grüße aus Köln.png') }
    const attachment = await upload(headers)
    expect(attachment).toMatchObject({
      id,
      name: 'Grüße aus Köln.png',
      mediaType: 'image/png',
      sizeBytes: picture.length,
    })
    expect(await upload(headers)).toEqual(attachment)
    const other = await app.fetch('/attachments', sending(picture.subarray(0, 9_000), headers))
    expect(await readOutcome(other)).toMatchObject({ status: 409, code: 'ATTACHMENT_ID_REUSED' })
  })

  it.each([
    ['without credentials', { user: null }, '401 UNAUTHENTICATED'],
    ['as a form of any page could send it', { type: 'text/plain' }, '415 UNSUPPORTED_MEDIA_TYPE'],
    ['from a page of another site', { site: 'cross-site' }, '403 FORBIDDEN'],
    ['with a path for a name', { name: '..%2Fetc' }, '400 INVALID_INPUT'],
    ['with a name that is no UTF-8', { name: '%ff' }, '400 INVALID_INPUT'],
    ['with an id that is no UUID', { id: 'picture-1' }, '400 INVALID_INPUT'],
    ['that is empty', { body: '' }, '422 ATTACHMENT_REFUSED'],
    ['of a type that the server does not take', { body: 'MZ\u0000\u0001\u0002' }, '422 ATTACHMENT_REFUSED'],
  ])('one %s is refused and not stored', async (_how, sent: Record<string, string | null>, expected) => {
    const before = await storedFiles(app)
    const headers = {
      'content-type': sent['type'] ?? 'application/octet-stream',
      ...(sent['site'] ? { 'sec-fetch-site': sent['site'], origin: 'https://evil.example.com' } : {}),
      ...(sent['name'] ? { 'x-file-name': sent['name'] } : {}),
      ...(sent['id'] ? { 'idempotency-key': sent['id'] } : {}),
    }
    const user = sent['user'] === null ? { user: null } : {}
    const response = await app.fetch('/attachments', {
      method: 'POST',
      body: sent['body'] ?? picture,
      headers,
      ...user,
    })
    expect(await readOutcome(response)).toMatchObject({ status: Number(expected.slice(0, 3)), code: expected.slice(4) })
    expect(await storedFiles(app)).toEqual(before)
  })

  it.each(['with its length', 'in pieces of unknown length'])(
    'one of 33 MiB sent %s receives its refusal, though it is still being sent, and is not stored',
    async (how) => {
      const before = await storedFiles(app)
      const large = Buffer.alloc(33 * mebibyte, picture)
      const stream = new Blob([large]).stream()
      const body = how === 'with its length' ? large : stream
      const response = await app.fetch('/attachments', { ...sending(body), duplex: 'half' } as RequestInit)
      expect(await readOutcome(response)).toMatchObject({ status: 413, code: 'PAYLOAD_TOO_LARGE' })
      expect(await storedFiles(app)).toEqual(before)
      await upload()
    },
  )

  it('one whose connection breaks off is not stored', async () => {
    await using other = await openTestApi()
    const socket = connect(Number(new URL(other.url).port), '127.0.0.1')
    socket.write(
      `POST /attachments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/octet-stream\r\ncontent-length: ${picture.length}\r\n\r\n`,
    )
    socket.write(picture.subarray(0, mebibyte + 100_000))
    await vi.waitFor(async () => expect((await storedFiles(other))[2]).toBeGreaterThan(0), { timeout: 10_000 })
    socket.destroy()
    await vi.waitFor(async () => expect(await storedFiles(other)).toEqual([0, 0, 0]), { timeout: 10_000 })
  })

  it('one is read no faster than it is stored', async () => {
    const taken: number[] = []
    let finish = () => {}
    const isFinished = new Promise<void>((resolve) => (finish = resolve))
    await using other = await openTestApi({
      replaceParts: ({ attachments }) => ({
        attachments: {
          ...attachments,
          async upload(_owner, { bytes }) {
            for await (const piece of bytes) {
              taken.push(piece.byteLength)
              await isFinished
            }
            throw new Error('seen enough')
          },
        },
      }),
    })
    const large = 31 * mebibyte
    const socket = connect(Number(new URL(other.url).port), '127.0.0.1')
    socket.write(
      `POST /attachments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\ncontent-type: application/octet-stream\r\ncontent-length: ${large}\r\n\r\n`,
    )
    socket.write(Buffer.alloc(large))
    await vi.waitFor(() => expect(taken).toHaveLength(1), { timeout: 10_000 })
    // As long as all of it takes to pass where it is not held back.
    for (let turn = 0; turn < 2_000; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(taken).toHaveLength(1)
    expect(socket.writableLength).toBeGreaterThan(8 * mebibyte)
    finish()
    socket.destroy()
  })
})

describe('a download', () => {
  it('gives the bytes back with headers that make them harmless', async () => {
    const { id, sha256 } = await upload({ 'x-file-name': encodeURIComponent(`it's "ok"; ü.png`) })
    const response = await app.fetch(`/attachments/${id}`)
    expect(Buffer.from(await response.arrayBuffer()).equals(picture)).toBe(true)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': String(picture.length),
      'content-disposition': "attachment; filename*=UTF-8''it%27s%20%22ok%22%3B%20%C3%BC.png",
      'content-security-policy': "sandbox; default-src 'none'",
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'private, max-age=300',
      etag: `"${sha256}"`,
    })
    const again = await app.fetch(`/attachments/${id}`, { headers: { 'if-none-match': `"${sha256}"` } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    const head = await app.fetch(`/attachments/${id}`, { method: 'HEAD' })
    expect([head.headers.get('content-length'), await head.text()]).toEqual([String(picture.length), ''])
  })

  it('a page of HTML is text, which no browser runs', async () => {
    const { id } = await upload({ 'x-file-name': 'page.html' }, '<!doctype html><script>alert(1)</script>')
    const response = await app.fetch(`/attachments/${id}`)
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    await response.body?.cancel()
  })

  it.each([
    ['bytes=0-9', 0, 10],
    ['bytes=1000000-', 1_000_000, picture.length],
    ['bytes=-7', picture.length - 7, picture.length],
  ])('the range %s is that part alone', async (range, start, end) => {
    const { id } = await upload()
    const response = await app.fetch(`/attachments/${id}`, { headers: { range } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${picture.length}`)
    expect(Buffer.from(await response.arrayBuffer()).equals(picture.subarray(start, end))).toBe(true)
  })

  it('a file of another user, an unknown one and an id that is none answer as errors', async () => {
    const { id } = await upload()
    const foreign = await app.fetch(`/attachments/${id}`, { user: 'bob' })
    const unknown = await app.fetch(`/attachments/${crypto.randomUUID()}`, { user: 'bob' })
    const outcomes = [await readOutcome(foreign), await readOutcome(unknown)]
    expect(outcomes).toMatchObject(Array.from({ length: 2 }, () => ({ status: 404, code: 'ATTACHMENT_NOT_FOUND' })))
    expect(await readOutcome(await app.fetch('/attachments/__proto__'))).toMatchObject({ status: 400 })
    expect(await readOutcome(await app.fetch(`/attachments/${id}`, { user: null }))).toMatchObject({ status: 401 })
    const embedded = await app.fetch(`/attachments/${id}`, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect(await readOutcome(embedded)).toMatchObject({ status: 403 })
  })
})

it('fetch servers take and give files as Node servers do', async () => {
  const headers = { authorization: 'Bearer alice', 'content-type': 'application/octet-stream' }
  const url = 'http://x/attachments'
  const stored = await app.api.fetchHandler(new Request(url, { method: 'POST', body: picture, headers }))
  const { id } = Attachment.parse(await stored.json())
  const read = await app.api.fetchHandler(new Request(`${url}/${id}`, { headers }))
  expect(Buffer.from(await read.arrayBuffer()).equals(picture)).toBe(true)
  const left = await app.api.fetchHandler(new Request(`${url}/${id}`, { headers }))
  await left.body?.cancel()
  const head = await app.api.fetchHandler(new Request(`${url}/${id}`, { method: 'HEAD', headers }))
  expect(head.status).toBe(200)
})
