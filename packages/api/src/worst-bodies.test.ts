/**
 * The worst bodies of the allowed size, for every procedure and every plain endpoint: made from the router, so that a new procedure
 * is tried without a new line here. The work is counted, not timed: how many issues the schemas make. A body that costs more than its
 * length, such as the quotes that an unfinished string repeats, would take longer than the test may.
 */
import { randomInt } from 'node:crypto'
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
  app = await openTestApi({ maxBytesPerSecond: 2 ** 40 }) // the pace of these bodies is no matter here
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

/** Of each target; the input of a message alone makes ten thousand. */
const maxCalls = 800

/**
 * So many of `calls`, evenly from all places and of all kinds, others in each run. The step shares no factor with the 42 kinds, or
 * it would meet the same ones at every place.
 */
function someOf(calls: readonly HostileCall[]): readonly HostileCall[] {
  if (calls.length <= maxCalls) return calls
  let step = Math.ceil(calls.length / maxCalls)
  while (step % 2 === 0 || step % 3 === 0 || step % 7 === 0) step++
  const first = randomInt(step)
  return calls.filter((_, at) => at % step === first)
}

const accepted = { status: 200, code: undefined, text: '' }

it('every procedure is among the targets', () => {
  expect([...callsByTarget.keys()]).toEqual(expect.arrayContaining(Object.keys(app.api.router._def.procedures)))
})

it.each([...callsByTarget])(
  'the worst bodies for %s are answered with few issues, and no error holds anything of them',
  async (target, calls) => {
    const wrong: string[] = []
    // A user of its own for each target: what one deletes, no other needs.
    const headers = { authorization: `Bearer ${target.replaceAll(/\W/g, '-')}`, 'content-type': 'application/json' }
    for (const { name, make } of someOf(calls)) {
      const { path, init } = make()
      issues = 0
      const leaving = new AbortController()
      const request = new Request(`http://x${path}`, { ...init, headers, signal: leaving.signal })
      // A follow that is accepted waits for what comes.
      const leave = target === 'sessions.follow' ? setTimeout(() => leaving.abort(), 500) : undefined
      const response = await app.api.fetchHandler(request)
      const { status, code, text } = await readOutcome(response).catch(() => accepted)
      clearTimeout(leave)
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
