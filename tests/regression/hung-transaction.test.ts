/**
 * The driver may leave an operation of a transaction unanswered for ever (decision 9), while the server keeps what the
 * transaction has written locked: a minute by its own default, which is longer than the end of an answer is tried to be stored.
 */
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { expect, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { answerMessage, followAll, startRun } from '../support/follow.ts'
import { interceptOperations } from '../support/intercepted-client.ts'

it('an answer whose last transaction hangs is stored and completed', async () => {
  await using database = await openDatabase()
  let inserts = 0
  const client = interceptOperations(database.client, async ({ collection, method }, proceed) => {
    // The first message is the prompt. The answer is inserted after what locks its run and its session.
    const hangs = collection === 'messages' && method === 'insertMany' && ++inserts === 2
    return hangs ? await new Promise(() => {}) : await proceed()
  })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  await using engine = openEngine(database, { agents: [pacedAgent(answerOf(['whole']))], wrap: () => storage })
  const runId = await startRun(engine)
  expect((await followAll(engine, runId)).at(-1)?.type).toBe('run_completed')
  expect(await answerMessage(engine, runId)).toMatchObject({ status: 'completed', content: [{ text: 'whole' }] })
  expect(inserts).toBeGreaterThan(2)
}, 60_000)
