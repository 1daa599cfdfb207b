/** Pages of another origin are refused before anything is read, whatever their browser sends or leaves out. */
import { json, query } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const listed = 'https://app.example.com'
let identified = 0
let app: TestApi
beforeAll(async () => {
  const authenticate = () => {
    identified++
    return { userId: 'alice' }
  }
  app = await openTestApi({ cors: { origins: [listed] }, authenticate, metrics: 'public' })
})
afterAll(async () => await app[Symbol.asyncDispose]())

const targets: [string, RequestInit][] = [
  [query('sessions.get', { sessionId: 's' }), {}],
  [query('runs.follow', { runId: crypto.randomUUID() }), {}],
  ['/trpc/sessions.create', json({ sessionId: 's' })],
  ['/trpc/nothing', {}],
  ['/chat/stream', json({ sessionId: 's', message: 'hi' })],
  [`/chat/sse/${crypto.randomUUID()}`, {}],
  ['/health/live', {}],
  ['/metrics', {}],
  ['/nowhere', {}],
  ['/trpc/sessions.get', { method: 'HEAD' }],
]

async function answersOf([path, init]: [string, RequestInit], sent: Record<string, string>): Promise<Response[]> {
  const headers = { ...(init.headers as Record<string, string> | undefined), ...sent }
  const fetched = app.api.fetchHandler(new Request(`http://x${path}`, { ...init, headers }))
  const answers = await Promise.all([app.fetch(path, { ...init, headers }), fetched])
  await Promise.all(answers.map(async ({ body }) => await body?.cancel()))
  return answers
}

describe('a page of another origin', () => {
  it.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'object' },
    { 'sec-fetch-site': 'cross-site', 'sec-purpose': 'prefetch' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site, same-origin' },
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example.com' },
    { 'sec-fetch-site': 'cross-site', origin: 'null' },
  ])('the API refuses a request with %j before it asks who calls', async (sent) => {
    const before = identified
    for (const target of targets) {
      for (const { status } of await answersOf(target, sent)) expect([target[0], status]).toEqual([target[0], 403])
    }
    expect(identified).toBe(before)
  })

  it.each([
    {},
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', origin: listed },
    { 'sec-fetch-site': 'same-site', origin: listed },
  ])('the API takes a request with %j', async (sent) => {
    for (const { status } of await answersOf(['/health/live', {}], sent)) expect(status).toBe(200)
    const preflight = await app.fetch('/trpc/runs.start', { method: 'OPTIONS', headers: { ...sent, origin: listed } })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, listed])
  })

  it('no page of another origin can embed an answer, be it an error or not', async () => {
    for (const sent of [{}, { 'sec-fetch-site': 'cross-site' }, { origin: listed }]) {
      for (const target of targets) {
        for (const { headers } of await answersOf(target, sent)) {
          const seen = ['cross-origin-resource-policy', 'x-content-type-options'].map((name) => headers.get(name))
          expect([target[0], ...seen]).toEqual([target[0], 'same-origin', 'nosniff'])
          expect(headers.get('cache-control')).toContain('no-store')
        }
      }
    }
  })
})
