/** Recovery when a run cannot be taken over: the others must not wait for it, and a process that leaves gives back what it has claimed. */
import type { Logger, RunRepository } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, followAll, waitOptions, startRun } from '../support/follow.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

/** Runs of a process that is lost, the first of them being the one whose lease lapsed first. */
async function loseRuns(database: TestDatabase, count: number): Promise<string[]> {
  await using lost = openCrashableEngine(database, { agents: [manualAgent()] })
  const runIds: string[] = []
  for (let at = 1; at <= count; at++) runIds.push(await startRun(lost.engine, { sessionId: `session-${at}` }))
  await lost.crash()
  const runs = database.client.db(database.databaseName).collection('runs')
  for (const [at, id] of runIds.entries()) await runs.updateOne({ id }, { $set: { 'lease.renewedAt': new Date(at) } })
  return runIds
}

/** The real repository, but the end of one run is never answered. */
function withoutEndOf(database: TestDatabase, runId: string | undefined) {
  const { runRepository } = database.storage
  const asked: string[] = []
  const poisoned: RunRepository = {
    ...runRepository,
    async finishRun(owned, ...rest) {
      asked.push(owned.run.id)
      if (owned.run.id === runId) return await new Promise<never>(() => {})
      return await runRepository.finishRun(owned, ...rest)
    },
  }
  return { asked, runRepository: poisoned }
}

it('recovery goes on to the next lost run when one does not reach its end', async () => {
  await using database = await openDatabase()
  const [poison, ...others] = await loseRuns(database, 3)
  const { asked, runRepository } = withoutEndOf(database, poison)
  await using taker = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository }) })
  for (const runId of others) {
    expect((await followAll(taker, runId)).at(-1)).toMatchObject({ type: 'run_interrupted' })
  }
  expect(asked).toEqual([poison, ...others])
  expect((await taker.runs.get(ada, poison ?? '')).status).toBe('running')
})

it('recovery goes on at once when the end of a run fails and logs only the kind of failure', async () => {
  await using database = await openDatabase()
  const [poison = '', other = ''] = await loseRuns(database, 2)
  const { runRepository } = database.storage
  const asked: string[] = []
  const picky: RunRepository = {
    ...runRepository,
    async finishRun(owned, ...rest) {
      asked.push(owned.run.id)
      if (asked.length === 1) throw new Error('secret of the driver')
      return await runRepository.finishRun(owned, ...rest)
    },
  }
  const warn = vi.fn<Logger['warn']>()
  const logger: Logger = { info: warn, warn, error: warn }
  await using taker = openEngine(database, {
    agents: [manualAgent()],
    // One look only: what is ended is ended by the look that met the failure.
    options: { recoveryMs: 600_000 },
    wrap: () => ({ runRepository: picky, logger }),
  })
  expect((await followAll(taker, other)).at(-1)).toMatchObject({ type: 'run_interrupted' })
  expect(asked).toEqual([poison, other])
  expect(warn).toHaveBeenCalledWith(expect.objectContaining({ runId: poison, reason: 'Error' }), expect.any(String))
  expect(JSON.stringify(warn.mock.calls)).not.toContain('secret')
})

it('recovery releases what it was about to take over when its process drains', async () => {
  await using database = await openDatabase()
  const [runId = ''] = await loseRuns(database, 1)
  const { asked, runRepository } = withoutEndOf(database, runId)
  const leaving = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository }) })
  await vi.waitFor(() => expect(asked).toEqual([runId]), waitOptions)
  await leaving.drain({ graceMs: 1 })
  await leaving.close()
  const [run] = await database.client.db(database.databaseName).collection('runs').find().toArray()
  expect(run).toMatchObject({ status: 'running', lease: { ms: 0 } })
  await using staying = openEngine(database, { agents: [manualAgent()] })
  expect((await followAll(staying, runId)).at(-1)).toMatchObject({ type: 'run_interrupted' })
})

it('recovery releases a run whose claim is answered after its process began to drain', async () => {
  await using database = await openDatabase()
  const [runId = ''] = await loseRuns(database, 1)
  const { runRepository } = database.storage
  const claimed = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const late: RunRepository = {
    ...runRepository,
    async claimExpiredLease(lease) {
      const run = await runRepository.claimExpiredLease(lease)
      claimed.resolve()
      await answer.promise
      return run
    },
  }
  const leaving = openEngine(database, { agents: [manualAgent()], wrap: () => ({ runRepository: late }) })
  await claimed.promise
  const closing = leaving.close()
  answer.resolve()
  await closing
  const [run] = await database.client.db(database.databaseName).collection('runs').find().toArray()
  expect(run).toMatchObject({ id: runId, status: 'running', lease: { ms: 0 } })
})
