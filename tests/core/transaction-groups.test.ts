/** Turns that begin and end at one moment share transactions. What is wrong with one of them is not the others' concern. */
import { openTestDatabase } from '@verbatim/core/testing'
import { BSON, MongoClient } from 'mongodb'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Engine } from '@verbatim/core/server'
import { expect, inject, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { ada, answerFrom, answerMessage, followAll } from '../support/follow.ts'

const owners = Array.from({ length: 4 }, (_, at) => ({ ...ada, ownerId: `${ada.ownerId}-${at}` }))

/** 16 turns at one moment, each in a session of its own; answers the outcome of each. */
async function startMany(engine: Engine) {
  const starts = Array.from({ length: 16 }, (_, nth) => {
    const owner = owners[nth % owners.length] ?? ada
    const runId = crypto.randomUUID()
    const started = engine.runs.start(owner, { runId, sessionId: `session-${nth}`, message: 'Say something' })
    return { owner, runId, started }
  })
  return { starts, outcomes: await Promise.allSettled(starts.map(({ started }) => started)) }
}

async function expectWhole(engine: Engine, { owner, runId }: { owner: typeof ada; runId: string }): Promise<void> {
  expect(answerFrom(await followAll(engine, runId, { owner })).status).toBe('completed')
  expect(await answerMessage(engine, runId, owner)).toMatchObject({ status: 'completed', content: [{ text: 'whole' }] })
}

const agents = [pacedAgent(answerOf(['who', 'le']))]

it('sixteen turns that begin at one moment share their transactions, and each is whole', async () => {
  await using database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  let commits = 0
  let inserts = 0
  client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'commitTransaction') commits++
    if (commandName === 'insert' && command['autocommit'] === false) inserts++
  })
  await using engine = openEngine(database, { agents, wrap: () => storage })
  const { starts, outcomes } = await startMany(engine)
  expect(outcomes.map(({ status }) => status)).toEqual(starts.map(() => 'fulfilled'))
  for (const start of starts) await expectWhole(engine, start)
  expect(commits).toBeLessThan(2 * starts.length)
  expect(inserts).toBeLessThan(3 * starts.length)
  await client.close()
})

it('a start that is refused leaves the starts beside it alone', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents })
  const { starts } = await startMany(engine)
  for (const start of starts) await expectWhole(engine, start)
  // Every fourth names a run that is there, with another prompt.
  const isReused = (nth: number) => nth % 4 === 0
  const again = await Promise.allSettled(
    starts.map(({ owner, runId }, nth) => {
      const id = isReused(nth) ? runId : crypto.randomUUID()
      return engine.runs.start(owner, { runId: id, sessionId: `session-${nth}`, message: 'Another prompt' })
    }),
  )
  const refused = again.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  const started = again.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  expect(refused).toEqual(Array.from({ length: 4 }, () => expect.objectContaining({ code: 'RUN_ID_REUSED' })))
  expect(started).toHaveLength(12)
  for (const run of started) {
    const owner = owners[Number(run.sessionId.split('-')[1]) % owners.length] ?? ada
    await expectWhole(engine, { owner, runId: run.id })
  }
})

it.each([
  ['does not reach the database', 4, { closeConnection: true }],
  ['lands, and its answer is lost', 8, { writeConcernError: { code: 91, errmsg: 'Shutting down' } }],
])(
  'turns whose common commit %s are stored once each',
  async (_name, times, failure) => {
    const appName = `groups-${crypto.randomUUID()}`
    const uri = new URL(inject('mongoUri'))
    uri.searchParams.set('appName', appName)
    await using database = await openTestDatabase(uri.href)
    await using engine = openEngine(database, { agents })
    await using failPoint = await holdFailPoint()
    await failPoint.set(times, { failCommands: ['commitTransaction'], appName, ...failure })
    const { starts, outcomes } = await startMany(engine)
    expect(outcomes.map(({ status }) => status)).toEqual(starts.map(() => 'fulfilled'))
    for (const start of starts) await expectWhole(engine, start)
    const db = database.client.db(database.databaseName)
    expect(await db.collection('runs').countDocuments()).toBe(starts.length)
    expect(await db.collection('messages').countDocuments()).toBe(2 * starts.length)
    expect(await db.collection('sessions').countDocuments({ head: new BSON.Int32(2), activeRunId: null })).toBe(
      starts.length,
    )
  },
  60_000,
)
