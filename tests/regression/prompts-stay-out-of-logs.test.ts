/** mongod writes a statement that fails into its own log. Starts that meet each other must not put what people wrote there. */
import { expect, inject, it } from 'vitest'
import { MongoClient } from 'mongodb'
import { manualAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada } from '../support/follow.ts'

/** What mongod logs of a statement only because it was slow, with all of it. */
const slowQuery = '"id":51803'

it('starts that meet in a session, new or busy, leave no prompt in the log of MongoDB', async () => {
  await using database = await openDatabase()
  await using here = openEngine(database, { agents: [manualAgent()] })
  await using there = openEngine(database, { agents: [manualAgent()] })
  const secret = `secret-${crypto.randomUUID()}`
  for (const sessionId of ['session-1', 'session-2', 'session-3']) {
    const starts = Array.from({ length: 12 }, (_, at) =>
      (at % 2 ? here : there).runs.start(ada, {
        runId: crypto.randomUUID(),
        sessionId,
        message: `${secret} ${at}`,
        whenBusy: at % 3 ? 'queue' : 'reject',
      }),
    )
    const outcomes = await Promise.allSettled(starts)
    expect(outcomes.some((outcome) => outcome.status === 'fulfilled')).toBe(true)
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused.map(({ reason }) => `${reason} ${JSON.stringify(reason)}`).join(' ')).not.toContain(secret)
  }
  await using client = new MongoClient(inject('mongoUri'))
  const { log } = await client.db('admin').command({ getLog: 'global' })
  expect(log.filter((line: string) => line.includes(secret) && !line.includes(slowQuery))).toEqual([])
})
