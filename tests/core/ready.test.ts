import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'

describe('readiness', () => {
  it('readiness is refused while a required index is missing and given when the index is back', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [pacedAgent([])] })
    const messages = database.client.db(database.databaseName).collection('messages')
    await engine.ready()
    await messages.dropIndex('session_order')
    const missing = { code: 'UNSUPPORTED_DEPLOYMENT', message: expect.stringContaining('messages.session_order') }
    await expect(engine.ready()).rejects.toMatchObject(missing)
    await messages.createIndex({ s: 1, b: 1, seq: 1 }, { name: 'session_order' })
    await expect(engine.ready(), 'the same index, but not unique').rejects.toMatchObject(missing)
    await messages.dropIndex('session_order')
    await database.storage.migrate()
    await engine.ready()
  })

  it('readiness is refused while a collection is missing or not clustered', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [pacedAgent([])] })
    const db = database.client.db(database.databaseName)
    await db.dropCollection('run_events')
    await expect(engine.ready()).rejects.toMatchObject({ message: expect.stringContaining('collection run_events') })
    await db.createCollection('run_events')
    await expect(engine.ready()).rejects.toMatchObject({ message: expect.stringContaining('clustered index') })
  })

  it('readiness names the collection whose documents prevent an index', async () => {
    await using database = await openDatabase()
    const messages = database.client.db(database.databaseName).collection('messages')
    await messages.dropIndex('session_order')
    await messages.insertMany([1, 2].map((id) => ({ _id: `${id}` as never, s: 'a', b: 'main', seq: 1 })))
    const { client, databaseName } = database
    const storage = createMongoStorage({ client, databaseName, clock: systemClock })
    await expect(storage.migrate()).rejects.toMatchObject({
      code: 'UNSUPPORTED_DEPLOYMENT',
      message: expect.stringContaining('messages'),
    })
  })

  it.each([
    ['create', 13, 'run_events with a clustered index', 'readWrite'],
    ['create', 59, 'run_events with a clustered index', 'use MongoDB 6'],
    ['create', 115, 'run_events with a clustered index', 'use MongoDB 6'],
    ['create', 72, 'run_events with a clustered index', 'use MongoDB 6'],
    ['createIndexes', 13, 'sessions.owner_newest', 'readWrite'],
    ['createIndexes', 8_000, 'sessions.owner_newest', 'readWrite'],
    ['createIndexes', 59, 'sessions.owner_newest', 'use MongoDB 6'],
    ['createIndexes', 67, 'sessions.owner_newest', 'use MongoDB 6'],
    ['createIndexes', 115, 'sessions.owner_newest', 'use MongoDB 6'],
    ['buildInfo', 59, 'buildInfo', 'use MongoDB 6'],
  ] as const)(
    'readiness names what a server that answers %s with code %i lacks, and the remedy',
    async (...[command, errorCode, what, remedy]) => {
      await using database = await openDatabase()
      const db = database.client.db(database.databaseName)
      if (command === 'create') await db.dropCollection('run_events')
      if (command === 'createIndexes') await db.collection('sessions').dropIndex('owner_newest')
      const appName = `refuses-${crypto.randomUUID()}`
      const uri = new URL(database.uri)
      uri.searchParams.set('appName', appName)
      await using client = createMongoClient(String(uri))
      const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
      await using failPoint = await holdFailPoint()
      const clustered = command === 'create' ? { namespace: `${database.databaseName}.run_events` } : {}
      await failPoint.set(2, { failCommands: [command], appName, errorCode, ...clustered })
      await expect(storage.migrate()).rejects.toMatchObject({
        code: 'UNSUPPORTED_DEPLOYMENT',
        message: expect.stringMatching(new RegExp(`${what}.*${remedy}`)),
      })
    },
  )
})
