import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { scriptAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'

describe('readiness', () => {
  it('is refused while an index that order depends on is missing, and given when it is made again', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [scriptAgent([])] })
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

  it('is refused while a collection is missing, or not clustered', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [scriptAgent([])] })
    const db = database.client.db(database.databaseName)
    await db.dropCollection('run_events')
    await expect(engine.ready()).rejects.toMatchObject({ message: expect.stringContaining('collection run_events') })
    await db.createCollection('run_events')
    await expect(engine.ready()).rejects.toMatchObject({ message: expect.stringContaining('clustered index') })
  })

  it('names the collection when what is stored is in the way of an index', async () => {
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
})
