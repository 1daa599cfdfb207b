/**
 * The worst bodies of the allowed size, for every procedure and every plain endpoint: made from the router, so that a new procedure
 * is tried without a new line here. The work is counted, not timed: how many issues the schemas make. A body that costs more than its
 * length, such as the quotes that an unfinished string repeats, would take longer than the test may.
 */
import { StartRunInput } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { hostileCalls, marker, plainCalls } from '@verbatim/test-kit/hostile'
import type { HostileCall } from '@verbatim/test-kit/hostile'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { createAppRouter } from './create-router.ts'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

/** Over every other bound (values, depth, a prompt's bytes within a batch); a body of the full size takes four times as long. */
const sizes = { maxBodyBytes: 256 * 1024 }
/** Issues that the schemas may make for one call of a batch of 20. */
const maxIssues = 10 * 20
/** Characters of an error, and of the errors of a batch. */
const maxErrorLength = 600 * 20

let app: TestApi
let issues = 0

beforeAll(async () => {
  app = await openTestApi()
  z.config({ customError: () => void issues++ })
})
afterAll(async () => {
  z.config({ customError: undefined })
  await app[Symbol.asyncDispose]()
})

const chatInput = StartRunInput.omit({ runId: true })
const callsByTarget = new Map<string, HostileCall[]>()
for (const call of [
  ...hostileCalls(createAppRouter({ engine: {} as Engine, principalOf: () => null }), sizes),
  ...plainCalls('/chat/stream', chatInput, sizes),
  ...plainCalls('/chat/sse', chatInput, sizes),
]) {
  callsByTarget.set(call.target, [...(callsByTarget.get(call.target) ?? []), call])
}

it('every procedure is among the targets', () => {
  expect([...callsByTarget.keys()]).toEqual(expect.arrayContaining(Object.keys(app.api.router._def.procedures)))
})

it.each([...callsByTarget])(
  'the worst bodies for %s are answered with few issues, and no error holds anything of them',
  async (target, calls) => {
    const wrong: string[] = []
    // A user of its own for each target: what one deletes, no other needs.
    const headers = { authorization: `Bearer ${target.replaceAll(/\W/g, '-')}`, 'content-type': 'application/json' }
    for (const { name, make } of calls) {
      const { path, init } = make()
      issues = 0
      const request = new Request(`http://x${path}`, { ...init, headers })
      const response = await app.api.fetchHandler(request)
      const { status, code, text } = await readOutcome(response)
      if (issues > maxIssues) wrong.push(`${name}: ${issues} issues`)
      if (status < 400) continue
      if (code === undefined || status >= 500) wrong.push(`${name}: ${status} ${code}`)
      if (text.length > maxErrorLength) wrong.push(`${name}: ${text.length} characters`)
      if (text.includes(marker)) wrong.push(`${name}: holds what was sent`)
    }
    expect(wrong).toEqual([])
    expect(JSON.stringify(app.logged)).not.toContain(marker)
  },
  120_000,
)
