/** Turns that begin and end at one moment share transactions. What is wrong with one of them is not the others' concern. */
import { createGate, openTestDatabase } from '@verbatim/core/testing'
import { BSON, MongoClient } from 'mongodb'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Engine } from '@verbatim/core/server'
import { expect, inject, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { expectIdle } from '../support/leaks.ts'
import { echoAgent } from '../support/queue.ts'
import { ada, answerFrom, answerMessage, followAll } from '../support/follow.ts'

const owners = Array.from({ length: 4 }, (_, at) => ({ ...ada, ownerId: `${ada.ownerId}-${at}` }))

/** 16 turns at one moment, each in a session of its own; answers the outcome of each. */
async function startMany(engine: Engine, of: readonly (typeof ada)[] = owners) {
  const starts = Array.from({ length: 16 }, (_, nth) => {
    const owner = of[nth % of.length] ?? ada
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

it('turns of one owner share their transactions, and what its limits count', async () => {
  await using database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  let counts = 0
  client.on('commandStarted', ({ commandName, command }) => {
    if (commandName === 'aggregate' && command['autocommit'] === false) counts++
  })
  const options = { limits: { principal: { activeRuns: 16, sessions: 16 }, tenant: { activeRuns: 16 } } }
  await using engine = openEngine(database, { agents, options, wrap: () => storage })
  const { starts, outcomes } = await startMany(engine, [ada])
  expect(outcomes.map(({ status }) => status)).toEqual(starts.map(() => 'fulfilled'))
  for (const start of starts) await expectWhole(engine, start)
  expect(counts).toBeLessThan(2 * starts.length) // one by one they count three times each
  const more = engine.runs.start(ada, { runId: crypto.randomUUID(), sessionId: 'session-16', message: 'One more' })
  await expect(more).rejects.toMatchObject({ code: 'RATE_LIMITED', data: { kind: 'principal_sessions' } })
  await client.close()
})

it('starts past a limit, and those that name no file that is there, undo nothing of the starts beside them', async () => {
  await using database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  let undone = 0
  client.on('commandStarted', ({ commandName }) => {
    if (commandName === 'abortTransaction') undone++
  })
  const gate = createGate()
  await using engine = openEngine(database, {
    agents: [echoAgent({ gate })],
    options: { limits: { principal: { activeRuns: 2 } } },
    wrap: () => storage,
  })
  const source = { type: 'attachment', attachment_id: crypto.randomUUID() } as const
  const lacking = Array.from({ length: 4 }, (_, nth) => {
    const input = {
      runId: crypto.randomUUID(),
      sessionId: `file-${nth}`,
      message: [{ type: 'image', source }] as const,
    }
    return engine.runs.start({ ...ada, ownerId: 'lacks' }, input)
  })
  const [{ outcomes }, ofLacking] = await Promise.all([startMany(engine), Promise.allSettled(lacking)])
  const codes = [...outcomes, ...ofLacking].map((one) =>
    one.status === 'fulfilled' ? one.value.status : (one.reason as { code?: string }).code,
  )
  const expected = { running: 8, RATE_LIMITED: 8, ATTACHMENT_NOT_FOUND: 4 }
  expect(
    Object.fromEntries(Object.keys(expected).map((code) => [code, codes.filter((one) => one === code).length])),
  ).toEqual(expected)
  // On a slow machine two groups may run at once, and meet; a refusal that undid its group would undo itself once more, alone.
  expect(undone).toBeLessThan(expected.RATE_LIMITED)
  gate.open()
  await expectIdle(engine)
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
