/** Databases of earlier versions: restored from tests/fixtures/schema, migrated, and used. */
import { readdir, readFile } from 'node:fs/promises'
import { textOf } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { BSON } from 'mongodb'
import type { Document, IndexDescription } from 'mongodb'
import { describe, expect, inject, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions } from '../support/follow.ts'

const folder = new URL('../fixtures/schema/', import.meta.url)
const versions = (await readdir(folder)).map((name) => Number(name.replace('.json', ''))).toSorted((a, b) => a - b)

/** The indexes that the servers of each version made, and later ones may not need. */
const indexesOf: Record<number, Record<string, IndexDescription[]>> = {
  1: {
    runs: [
      {
        name: 'offered_by_lease',
        key: { status: 1, 'lease.renewedAt': 1 },
        partialFilterExpression: { status: 'queued', 'lease.renewedAt': { $exists: true } },
      },
    ],
  },
}

/** A database as servers of that version have left it, migrated. */
async function openMigrated(version: number) {
  const client = createMongoClient(inject('mongoUri'))
  const databaseName = `verbatim-test-${crypto.randomUUID().slice(0, 13)}`
  const db = client.db(databaseName)
  const text = await readFile(new URL(`${version}.json`, folder), 'utf8')
  const collections = BSON.EJSON.parse(text, { relaxed: false }) as Record<string, Document[]>
  await db.createCollection('run_events', { clusteredIndex: { key: { _id: 1 }, unique: true } })
  for (const [name, documents] of Object.entries(collections)) await db.collection(name).insertMany(documents)
  for (const [name, indexes] of Object.entries(indexesOf[version] ?? {}))
    await db.collection(name).createIndexes(indexes)
  const storage = createMongoStorage({ client, databaseName, clock: systemClock })
  await storage.migrate()
  return {
    uri: inject('mongoUri'),
    client,
    databaseName,
    storage,
    async [Symbol.asyncDispose]() {
      await db.dropDatabase()
      await client.close()
    },
  }
}

const runOf = (at: number) => `00000000-0000-4000-8000-00000000000${at}`

it('each version of the documents has its fixture', async () => {
  await using database = await openDatabase()
  const schema = await database.client.db(database.databaseName).collection('schema').findOne()
  expect(versions).toEqual(Array.from({ length: Number(schema?.['version']) }, (_, at) => at + 1))
})

describe.each(versions)('a database of version %i', (version) => {
  it('a migrated database has the indexes of a new one and no other', async () => {
    await using migrated = await openMigrated(version)
    await using fresh = await openDatabase()
    const indexesIn = async ({ client, databaseName }: typeof fresh) => {
      const names = ['sessions', 'messages', 'runs', 'run_events', 'run_archives', 'audit', 'erasures', 'schema']
      const lists = names.map(async (name) => await client.db(databaseName).collection(name).indexes())
      return (await Promise.all(lists)).map((indexes) => new Set(indexes.map((index) => index.name)))
    }
    expect(await indexesIn(migrated)).toEqual(await indexesIn(fresh))
    await migrated.storage.checkReady()
  })

  it('a migrated database is read whole: sessions, messages, and events from every cursor, archived or not', async () => {
    await using database = await openMigrated(version)
    await using engine = openEngine(database, { agents: [manualAgent()], options: { recoveryMs: 600_000 } })
    const { items } = await engine.sessions.list(ada, { limit: 10 })
    expect(Object.fromEntries(items.map(({ id, title }) => [id, title]))).toEqual({
      failed: 'Will you fail?',
      imported: 'A renamed session',
      talk: 'What is the weather?',
      waiting: 'First',
    })
    const messages = await engine.messages.list(ada, 'talk', { order: 'oldest', limit: 10 })
    expect(messages.items.map(({ role, content }) => [role, textOf(content)])).toEqual([
      ['user', 'What is the weather?'],
      ['assistant', 'It rains in Oslo.'],
      ['user', 'And tomorrow?'],
      ['assistant', 'Sunshine'],
    ])
    const tools = messages.items[1]?.content.filter(({ type }) => type === 'tool_use')
    expect(tools).toMatchObject([{ input: { city: 'Oslo', $days: [1, { _bsontype: 'x' }] } }])
    for (const at of [1, 2, 3]) {
      const events = await followAll(engine, runOf(at))
      const stored = await answerMessage(engine, runOf(at))
      expect(answerFrom(events).content).toEqual(stored.content)
      for (let after = 0; after <= events.length; after++) {
        expect(await followAll(engine, runOf(at), { after })).toEqual(events.slice(after))
      }
    }
    await expect(engine.sessions.get(ada, 'gone')).rejects.toMatchObject({ code: 'SESSION_DELETED' })
    await expect(engine.runs.get(ada, runOf(6))).rejects.toMatchObject({ code: 'SESSION_DELETED' })
  })

  it('a migrated database goes on: lost runs end, queued ones begin, failed ones are retried, old sessions continue and are deleted', async () => {
    await using database = await openMigrated(version)
    const agent = manualAgent()
    const options = { ...shortLeases, archiveDelayMs: 1 }
    await using engine = openEngine(database, { agents: [agent], options })
    const end = async (runId: string) => {
      await vi.waitFor(() => expect(agent.requests.at(-1)?.runId).toBe(runId), waitOptions)
      agent.say('Here it is')
      agent.end()
      expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
    }
    expect(answerFrom(await followAll(engine, runOf(4)))).toMatchObject({ status: 'interrupted' })
    await end(runOf(5))
    const again = crypto.randomUUID()
    await engine.runs.retry(ada, { runId: runOf(3), newRunId: again })
    await end(again)
    const next = crypto.randomUUID()
    await engine.runs.start(ada, { runId: next, sessionId: 'talk', message: 'And after that?' })
    await end(next)
    expect(agent.requests.at(-1)?.messages).toHaveLength(5)
    const stored = database.client.db(database.databaseName)
    await vi.waitFor(async () => {
      expect(await stored.collection('runs').countDocuments({ toArchive: true })).toBe(0)
    }, waitOptions)
    expect(answerFrom(await followAll(engine, runOf(2))).status).toBe('completed')
    for (const sessionId of ['talk', 'failed', 'waiting', 'imported']) {
      expect(await engine.sessions.delete(ada, { sessionId })).toMatchObject({ isPurged: true })
    }
    expect(await stored.collection('messages').countDocuments()).toBe(0)
    expect(await stored.collection('run_archives').countDocuments()).toBe(0)
  })
})
