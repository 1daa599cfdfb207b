/** A run whose history could not be read at once failed, although its log and its end wait for a database that is away. */
import { VerbatimError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'

/** An engine whose history reads go through `read`. */
function openWith(database: TestDatabase, read: (proceed: () => Promise<unknown>) => Promise<unknown>): Engine {
  return openEngine(database, {
    agents: [pacedAgent(answerOf(['Here']))],
    wrap: ({ sessionRepository }) => ({
      sessionRepository: new Proxy(sessionRepository, {
        get(target, name) {
          const method: unknown = Reflect.get(target, name, target)
          if (name !== 'listMessages' || typeof method !== 'function') return method
          return async (...args: unknown[]) => await read(async () => await method.apply(target, args))
        },
      }),
    }),
  })
}

const away = new VerbatimError('UNAVAILABLE')

it('a run waits for its history while the database is away', async () => {
  await using database = await openDatabase()
  let reads = 0
  await using engine = openWith(database, async (proceed) => {
    if (++reads <= 3) throw away
    return await proceed()
  })
  const runId = await startRun(engine)
  expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
  expect(reads).toBe(4)
})

it('a run does not wait for its history after an error that is no outage of the database', async () => {
  await using database = await openDatabase()
  let reads = 0
  await using engine = openWith(database, () => {
    reads++
    throw new Error('broken')
  })
  const runId = await startRun(engine)
  expect(answerFrom(await followAll(engine, runId))).toMatchObject({ status: 'failed', error: { code: 'INTERNAL' } })
  expect(reads).toBe(1)
})

it.each([
  ['is tried again', async () => await Promise.reject(away)],
  ['hangs', async () => await new Promise(() => {})],
])('a cancel does not wait for a history read that %s', async (_, read) => {
  await using database = await openDatabase()
  let reads = 0
  await using engine = openWith(database, async () => {
    reads++
    return await read()
  })
  const runId = await startRun(engine)
  await vi.waitFor(() => expect(reads).toBeGreaterThan(0), waitOptions)
  expect(await engine.runs.cancel(ada, runId)).toMatchObject({ status: 'cancelled', hadEnded: false })
  expect(answerFrom(await followAll(engine, runId)).status).toBe('cancelled')
})
