/** The API masks faults. What other principals receive is tried in tests/system/isolation. */
import { errorTable } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { json, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { canary } from './testing/prompted-agent.ts'
import { outcomeOf } from './testing/outcome-of.ts'
import { openTestApi } from './testing/serve-test-api.ts'

describe('faults', () => {
  it('never show what they are, anywhere, and are found in the log by their correlation id', async () => {
    const fail = async (): Promise<never> => await Promise.reject(new Error(canary))
    await using broken = await openTestApi({ metrics: 'public', wrapEngine: (engine) => brokenEngine(engine, fail) })
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

  it('of authentication are masked as well', async () => {
    await using broken = await openTestApi({
      authenticate: () => {
        throw new Error(canary)
      },
    })
    for (const path of [query('sessions.list', {}), '/metrics', `/chat/sse/${crypto.randomUUID()}`]) {
      const outcome = await outcomeOf(await broken.fetch(path))
      expect([outcome.status, outcome.code]).toEqual([500, 'INTERNAL'])
      expect(outcome.text).not.toContain('CANARY')
    }
    expect(JSON.stringify(broken.logged)).not.toContain('CANARY')
  })

  it('have a status and a tRPC code for every row of the table', () => {
    for (const { httpStatus, trpcCode } of Object.values(errorTable)) {
      expect(httpStatus).toBeGreaterThanOrEqual(400)
      expect(trpcCode).toMatch(/^[A-Z_]+$/)
    }
  })
})

function brokenEngine(engine: Engine, fail: () => Promise<never>): Engine {
  return {
    ...engine,
    agentIds: engine.agentIds,
    draining: engine.draining,
    stats: () => engine.stats(),
    ready: fail,
    drain: fail,
    close: fail,
    [Symbol.asyncDispose]: fail,
    messages: engine.messages,
    sessions: { ...engine.sessions, list: fail },
    runs: {
      ...engine.runs,
      start: fail,
      get: fail,
      async *follow() {
        yield await fail()
      },
    },
  }
}
