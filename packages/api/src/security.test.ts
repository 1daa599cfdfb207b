/** The API masks faults. tests/system/isolation tries what other principals receive. */
import { errorOf, errorTable } from '@verbatim/core'
import type { ErrorCode } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { json, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { faultCanary } from './testing/prompted-agent.ts'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import { toTrpcError } from './to-wire-error.ts'

describe('faults', () => {
  it('a fault of the server is masked in every response, and its correlation id finds it in the log', async () => {
    const fail = async (): Promise<never> => await Promise.reject(new Error(faultCanary))
    await using broken = await openTestApi({ metrics: 'public', replaceParts: (engine) => brokenParts(engine, fail) })
    const responses = await Promise.all([
      broken.fetch(query('sessions.list', {})),
      broken.fetch(`/trpc/sessions.list,sessions.list?batch=1&input=${encodeURIComponent('{"0":{},"1":{}}')}`),
      broken.fetch(query('runs.follow', { runId: crypto.randomUUID() })),
      broken.fetch(`/chat/sse/${crypto.randomUUID()}`),
      broken.fetch('/chat/stream', json({ sessionId: 's', message: 'hi' })),
    ])
    for (const response of responses) {
      const body = await response.text()
      expect(body).not.toContain('CANARY')
      expect(body).not.toContain('node_modules')
      const correlationId = /"correlationId":"([^"]+)"/.exec(body)?.[1]
      expect([response.url, broken.logged.some((line) => line['correlationId'] === correlationId)]).toEqual([
        response.url,
        true,
      ])
      expect(correlationId).toBeDefined()
    }
    const ready = await broken.fetch('/health/ready')
    expect([ready.status, (await ready.text()).includes('CANARY')]).toEqual([503, false])
    expect(JSON.stringify(broken.logged)).not.toContain('CANARY')
  })

  it('a fault in authenticate is masked too', async () => {
    await using broken = await openTestApi({
      authenticate: () => {
        throw new Error(faultCanary)
      },
    })
    for (const path of [query('sessions.list', {}), '/metrics', `/chat/sse/${crypto.randomUUID()}`]) {
      const outcome = await readOutcome(await broken.fetch(path))
      expect([outcome.status, outcome.code]).toEqual([500, 'INTERNAL'])
      expect(outcome.text).not.toContain('CANARY')
    }
    expect(JSON.stringify(broken.logged)).not.toContain('CANARY')
  })

  it('every row of the error table has a status and the tRPC code of that status', () => {
    for (const code of Object.keys(errorTable) as ErrorCode[]) {
      const error = errorOf(code)
      expect(error.httpStatus).toBeGreaterThanOrEqual(400)
      const isInternal = toTrpcError(error).code === 'INTERNAL_SERVER_ERROR'
      expect([code, isInternal]).toEqual([code, error.httpStatus === 500])
    }
  })
})

function brokenParts({ sessions, runs }: Engine, fail: () => Promise<never>): Partial<Engine> {
  async function* follow() {
    yield await fail()
  }
  return { ready: fail, sessions: { ...sessions, list: fail }, runs: { ...runs, start: fail, get: fail, follow } }
}
