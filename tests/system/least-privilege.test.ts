/** The users of docs/security.md, made by its own commands on a MongoDB that asks for a password, run everything and no more. */
import { readFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { ownerOf, Principal, textOf } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { SessionManagerFactory, silentLogger, systemClock } from '@verbatim/core/server'
import { MongoClient } from 'mongodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { answerFrom, followAll } from '../support/follow.ts'
import { startGuardedMongod } from '../support/guarded-mongod.ts'
import type { GuardedMongod } from '../support/guarded-mongod.ts'

const alice = ownerOf(Principal.parse({ userId: 'alice' }))
const password = 'a password'

let mongod: GuardedMongod
beforeAll(async () => {
  mongod = await startGuardedMongod()
  await runShell(mongod.root, commandsOfTheGuide())
}, 60_000)
afterAll(async () => await mongod[Symbol.asyncDispose]())

function commandsOfTheGuide(): string {
  const [, section = ''] = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8').split(
    '## Least privilege in MongoDB',
  )
  return /```js\n([^`]+)```/.exec(section)?.[1] ?? ''
}

/** Runs commands as mongosh would: `createUser` and `createRole` of a database, one after the other. */
async function runShell(client: MongoClient, script: string): Promise<void> {
  let last: Promise<unknown> = Promise.resolve()
  const getSiblingDB = (name: string) => {
    const send = (verb: string, key: string) => (input: Record<string, unknown>) => {
      const { [key]: subject, ...rest } = input
      last = last.then(async () => await client.db(name).command({ [verb]: subject, ...rest }))
    }
    return { createUser: send('createUser', 'user'), createRole: send('createRole', 'role') }
  }
  runInNewContext(script, { db: { getSiblingDB }, passwordPrompt: () => password })
  await last
}

const agents = [pacedAgent(answerOf(['Hello ', 'there']))]

async function connect(user: string, options = {}) {
  return await SessionManagerFactory.connect({ uri: mongod.uriOf(user, password), agents, options })
}

async function migrateAs(user: string): Promise<void> {
  const client = createMongoClient(mongod.uriOf(user, password))
  try {
    await createMongoStorage({ client, databaseName: 'verbatim', clock: systemClock }).migrate()
  } finally {
    await client.close()
  }
}

describe('a server as the user verbatim-run', () => {
  it('refuses to start before the other user has made collections and indexes', async () => {
    await expect(connect('verbatim-run')).rejects.toMatchObject({ code: 'UNSUPPORTED_DEPLOYMENT' })
  })

  it('answers, follows from another process over the change stream, cancels, retries and deletes', async () => {
    await migrateAs('verbatim-migrate')
    // So long a poll that only the change stream brings events in time.
    const options = { pollMs: 60_000, sweepMs: 200, archiveDelayMs: 100 }
    await using one = await connect('verbatim-run', options)
    await using other = await connect('verbatim-run', options)
    expect(other.engine.hints()).toBe('change_streams')
    const session = one.createSessionManager({ sessionId: 's1', principal: { userId: 'alice' } })
    const run = session.send('Hi')
    const texts: string[] = []
    for await (const batch of other.engine.runs.follow(alice, run.id, { signal: AbortSignal.timeout(20_000) })) {
      texts.push(...batch.events.map((event) => ('delta' in event && 'text' in event.delta ? event.delta.text : '')))
    }
    expect(texts.join('')).toBe('Hello there')
    expect(textOf((await run.message).content)).toBe('Hello there')
    expect(await one.engine.ready()).toBeUndefined()
    await expect.poll(async () => await archives()).toBe(1) // the run is compacted, which deletes its events
    const deleted = await one.engine.sessions.delete(alice, { sessionId: 's1' })
    expect(deleted).toMatchObject({ isPurged: true })
  })

  it('can drop, rename and index nothing, and reaches no other database', async () => {
    const client = await new MongoClient(mongod.uriOf('verbatim-run', password)).connect()
    try {
      const db = client.db('verbatim')
      const forbidden = [
        () => db.collection('sessions').createIndex({ title: 1 }),
        () => db.collection('messages').drop(),
        () => db.dropDatabase(),
        () => db.collection('sessions').rename('taken'),
        () => client.db('admin').collection('system.users').findOne(),
        () => client.db('elsewhere').collection('any').findOne(),
        () => client.db('elsewhere').collection<{ _id: string }>('any').insertOne({ _id: 'x' }),
        () => client.watch().tryNext(),
      ]
      for (const attempt of forbidden) await expect(attempt()).rejects.toMatchObject({ code: 13 })
    } finally {
      await client.close()
    }
  })
})

it('a server whose user has no right to change streams says so at its start, and its followers poll', async () => {
  const admin = mongod.root.db('admin')
  const everything = {
    resource: { db: 'verbatim', collection: '' },
    actions: ['find', 'insert', 'update', 'remove', 'listIndexes'],
  }
  await admin.command({ createRole: 'noStreams', privileges: [everything], roles: [] })
  await admin.command({ createUser: 'polling', pwd: password, roles: ['noStreams'] })
  const lines: string[] = []
  const logger = { ...silentLogger, warn: (_fields: unknown, line: string) => void lines.push(line) }
  await using one = await connect('polling')
  const uri = mongod.uriOf('polling', password)
  await using other = await SessionManagerFactory.connect({ uri, agents, logger })
  expect([other.engine.hints(), lines]).toEqual(['polls', [expect.stringContaining('gives no change streams')]])
  const run = one.createSessionManager({ sessionId: 's2', principal: { userId: 'alice' } }).send('Hi')
  const events = await followAll(other.engine, run.id, { owner: alice })
  expect(textOf(answerFrom(events).content)).toBe('Hello there')
})

it('one user with readWrite on one database migrates and runs', async () => {
  const admin = mongod.root.db('admin')
  await admin.command({ createUser: 'simple', pwd: password, roles: [{ role: 'readWrite', db: 'simple' }] })
  const uri = mongod.uriOf('simple', password)
  await using factory = await SessionManagerFactory.connect({ uri, databaseName: 'simple', agents })
  const run = factory.createSessionManager({ sessionId: 's1' }).send('Hi')
  expect(textOf((await run.message).content)).toBe('Hello there')
})

async function archives(): Promise<number> {
  return await mongod.root.db('verbatim').collection('run_archives').countDocuments()
}
