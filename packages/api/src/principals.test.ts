/** A user's data over the wire: who may take it out, who may erase it, and what a reader receives. */
import { connect } from 'node:net'
import { Erasure, ExportLine } from '@verbatim/core'
import { json } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const path = '/principals/export'

function linesOf(text: string): ExportLine[] {
  expect(text.endsWith('\n')).toBe(true)
  const lines = text.slice(0, -1).split('\n')
  return lines.map((line) => ExportLine.parse(JSON.parse(line)))
}

/** A finished run of `alice`, as its followers see it. */
async function answer(app: TestApi, message: string): Promise<string> {
  const runId = await app.startRun(message)
  await (await app.fetch(`/chat/sse/${runId}`)).text()
  return runId
}

async function outcomes(app: TestApi, calls: readonly (readonly [string, string | null])[]) {
  const answered: unknown[] = []
  for (const [query, user] of calls) {
    const { status, code } = await readOutcome(await app.fetch(path + query, { user }))
    answered.push([query, user, status, code])
  }
  return answered
}

async function metric(app: TestApi, name: string): Promise<number> {
  const text = await (await app.fetch('/metrics', { user: 'ops' })).text()
  const line = text.split('\n').find((one) => one.startsWith(name))
  return Number(line?.split(' ').at(-1) ?? 0)
}

describe('GET /principals/export', () => {
  it('a user receives the own data, one line of JSON each, from header to trailer', async () => {
    await using app = await openTestApi()
    await answer(app, 'My secret words')
    const response = await app.fetch(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="export.ndjson"')
    expect(response.headers.get('cache-control')).toBe('no-store')
    const lines = linesOf(await response.text())
    expect(lines.map((line) => line.type)).toEqual(
      expect.arrayContaining(['header', 'session', 'message', 'run', 'events', 'audit', 'trailer']),
    )
    expect(lines.at(0)).toMatchObject({ type: 'header', userId: 'alice', tenantId: 'default' })
    expect(lines.at(-1)).toMatchObject({ type: 'trailer', counts: { session: 1, message: 2, run: 1 } })
  })

  it('the fetch handler sends the same lines as the Node handler', async () => {
    await using app = await openTestApi()
    await answer(app, 'My secret words')
    const headers = { authorization: 'Bearer alice' }
    const fetched = await app.api.fetchHandler(new Request(`http://x${path}`, { headers }))
    const data = (text: string) => linesOf(text).filter((line) => !['header', 'audit', 'trailer'].includes(line.type))
    expect(data(await fetched.text())).toEqual(data(await (await app.fetch(path)).text()))
  })

  it('an operator exports users of the own tenant, one of all tenants any user, and no other caller another user', async () => {
    await using app = await openTestApi()
    const ofAlice = '?userId=alice'
    const elsewhere = '?userId=alice&tenantId=other'
    expect(
      await outcomes(app, [
        [ofAlice, 'alice'],
        [ofAlice, 'operator'],
        [ofAlice, 'root'],
        [elsewhere, 'root'],
        [elsewhere, 'other/operator'],
        [ofAlice, 'bob'],
        [ofAlice, 'ops'],
        [elsewhere, 'alice'],
        [elsewhere, 'operator'],
        ['?tenantId=other', 'alice'],
        ['', null],
        [ofAlice, null],
      ]),
    ).toEqual([
      [ofAlice, 'alice', 200, undefined],
      [ofAlice, 'operator', 200, undefined],
      [ofAlice, 'root', 200, undefined],
      [elsewhere, 'root', 200, undefined],
      [elsewhere, 'other/operator', 200, undefined],
      [ofAlice, 'bob', 403, 'FORBIDDEN'],
      [ofAlice, 'ops', 403, 'FORBIDDEN'],
      [elsewhere, 'alice', 403, 'FORBIDDEN'],
      [elsewhere, 'operator', 403, 'FORBIDDEN'],
      ['?tenantId=other', 'alice', 403, 'FORBIDDEN'],
      ['', null, 401, 'UNAUTHENTICATED'],
      [ofAlice, null, 401, 'UNAUTHENTICATED'],
    ])
  })

  it('an unknown, doubled or oversized parameter is refused, and so is another method', async () => {
    await using app = await openTestApi()
    for (const query of ['?user=alice', '?userId=a&userId=b', `?userId=${'x'.repeat(300)}`, '?userId=']) {
      const { status, code } = await readOutcome(await app.fetch(path + query, { user: 'operator' }))
      expect([query.slice(0, 20), status, code]).toEqual([query.slice(0, 20), 400, 'INVALID_INPUT'])
    }
    const posted = await readOutcome(await app.fetch(path, { ...json({}), method: 'POST' }))
    expect(posted).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' })
  })

  it('a reader that takes nothing is cut off, holds no more than one line in memory, and frees its place', async () => {
    await using app = await openTestApi({ stalledReaderTimeoutMs: 400, heartbeatMs: 100 })
    await answer(app, '/big '.repeat(240).trim())
    const reader = connect(Number(new URL(app.url).port), '127.0.0.1')
    reader.pause()
    reader.on('error', () => {}) // it is reset, as it should be
    reader.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alice\r\n\r\n`)
    const frames = async () => await metric(app, 'verbatim_frames_total{kind="export"}')
    await expect.poll(frames).toBeGreaterThan(0)
    await expect.poll(() => metric(app, 'verbatim_streams_ended_total{kind="export",end="stalled"}')).toBe(1)
    const whole = linesOf(await (await app.fetch(path)).text()).length
    expect(await frames()).toBeLessThan(2 * whole) // otherwise the reader never lagged and the test proves nothing
    reader.destroy()
  })

  it('an export outlives the longest life of other streams', async () => {
    await using app = await openTestApi({ maxStreamMs: 200, heartbeatMs: 100 })
    await answer(app, '/big '.repeat(100).trim())
    const response = await app.api.fetchHandler(
      new Request(`http://x${path}`, { headers: { authorization: 'Bearer alice' } }),
    )
    await new Promise((resolve) => setTimeout(resolve, 600)) // three lives of another stream
    expect(linesOf(await response.text()).at(-1)?.type).toBe('trailer')
  })
})

describe('principals.erase', () => {
  const erase = async (app: TestApi, input: unknown, user: string | null) =>
    await readOutcome(await app.fetch('/trpc/principals.erase', { ...json(input), user }))

  it('an operator erases a user, and the same id answers the receipt', async () => {
    const quick = { heartbeatMs: 1_000, selfFenceMs: 1_200, leaseMs: 1_500, sweepMs: 100 }
    await using app = await openTestApi({ engineOptions: quick })
    await answer(app, 'My secret words')
    const input = { userId: 'alice', erasureId: crypto.randomUUID() }
    await expect
      .poll(
        async () => {
          const { text } = await erase(app, input, 'operator')
          const { result } = JSON.parse(text) as { result: { data: unknown } } // checked below
          return Erasure.parse(result.data)
        },
        { timeout: 15_000 },
      )
      .toMatchObject({
        id: input.erasureId,
        status: 'erased',
        requestedBy: 'operator',
        counts: { sessions: 1, messages: 2 },
      })
    const lines = linesOf(await (await app.fetch(path)).text())
    expect(lines.map((line) => line.type)).toEqual(['header', 'audit', 'trailer'])
    expect(JSON.stringify(app.logged)).not.toContain('alice')
  })

  it('only operators of the tenant erase, and a malformed input erases nothing', async () => {
    await using app = await openTestApi()
    await answer(app, 'My secret words')
    const userId = 'alice'
    expect(await erase(app, { userId }, 'alice')).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    expect(await erase(app, { userId }, 'ops')).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    expect(await erase(app, { userId }, null)).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' })
    expect(await erase(app, { userId, tenantId: 'other' }, 'operator')).toMatchObject({ code: 'FORBIDDEN' })
    for (const input of [{}, { userId: '' }, { userId, erasureId: 'x' }, { userId, everything: true }]) {
      expect(await erase(app, input, 'operator')).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
    }
    // Another tenant's user of the same name is another user.
    expect(await erase(app, { userId }, 'other/operator')).toMatchObject({ status: 200 })
    const lines = linesOf(await (await app.fetch(path)).text())
    expect(lines.filter((line) => line.type === 'message')).toHaveLength(2)
  })
})
