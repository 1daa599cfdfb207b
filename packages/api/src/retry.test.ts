import { json } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'

it("runs.continue refuses an answer that has no rest, another owner's run like no run, and malformed input", async () => {
  await using app = await openTestApi()
  const runId = await app.startRun('/hang')
  await app.fetch('/trpc/runs.cancel', json({ runId }))
  const input = json({ runId, newRunId: crypto.randomUUID() })
  const outcome = async (body: object) => await readOutcome(await app.fetch('/trpc/runs.continue', body))
  expect(await outcome(input)).toMatchObject({ status: 409, code: 'RUN_NOT_RETRYABLE' })
  expect(await outcome({ user: 'eve', ...input })).toMatchObject({ status: 404, code: 'RUN_NOT_FOUND' })
  expect(await outcome(json({ runId }))).toMatchObject({ code: 'INVALID_INPUT' })
})

describe('runs.retry', () => {
  it('runs.retry answers the prompt of a cancelled run again, once for each new id', async () => {
    await using app = await openTestApi()
    const runId = await app.startRun('/hang')
    await app.fetch('/trpc/runs.cancel', json({ runId }))
    const newRunId = crypto.randomUUID()
    const retry = async () => await app.fetch('/trpc/runs.retry', json({ runId, newRunId }))
    const [first, second] = [await retry(), await retry()]
    const body = (await first.json()) as { result: { data: unknown } }
    expect(body.result.data).toMatchObject({ id: newRunId, retryOf: runId })
    expect([first.status, second.status]).toEqual([200, 200])
    const { data } = ((await second.json()) as { result: { data: unknown } }).result
    expect(data).toMatchObject({ id: newRunId, retryOf: runId })
    expect(app.engine.stats().runsStarted).toBe(2)
  })

  it("runs.retry answers alike for another owner's run and for no run, and refuses malformed input", async () => {
    await using app = await openTestApi()
    const runId = await app.startRun('/hang')
    await app.fetch('/trpc/runs.cancel', json({ runId }))
    const input = json({ runId, newRunId: crypto.randomUUID() })
    expect(await readOutcome(await app.fetch('/trpc/runs.retry', { user: 'eve', ...input }))).toMatchObject({
      status: 404,
      code: 'RUN_NOT_FOUND',
    })
    expect(await readOutcome(await app.fetch('/trpc/runs.retry', json({ runId })))).toMatchObject({
      code: 'INVALID_INPUT',
    })
    expect((await app.fetch('/trpc/runs.retry', { user: null, ...input })).status).toBe(401)
  })
})
