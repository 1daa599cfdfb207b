/**
 * A sharded cluster sends a command to one shard when its filter names the shard key, and to all shards otherwise. No router runs here; so
 * the commands of whole turns are watched, and each filter is held against the keys of docs/operations.md.
 */
import { readFileSync } from 'node:fs'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Document } from 'mongodb'
import { MongoClient } from 'mongodb'
import { afterAll, beforeAll, expect, inject, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, followAll, startRun, waitOptions } from '../support/follow.ts'

/** The table of docs/operations.md: collections and their keys. */
const shardKeys = new Map(
  [
    ...readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8').matchAll(
      /^\| `([\w.]+)` +\| `\{ (\w+): 1 \}`/gm,
    ),
  ].map(([, collection = '', field = '']) => [collection, field]),
)

interface Sent {
  readonly collection: string
  readonly name: string
  readonly filter: Document
}

/** What a command asks for, or stores: each of it needs the key. */
function sentBy(name: string, command: Document): Sent[] {
  const of = (collection: string, filters: readonly Document[]) =>
    filters.map((filter) => ({ collection, name, filter }))
  const collection = String(command[name])
  switch (name) {
    case 'find':
      return of(collection, [command['filter']])
    case 'findAndModify':
    case 'count':
      return of(collection, [command['query']])
    case 'update':
      return of(
        collection,
        command['updates'].map(({ q }: Document) => q),
      )
    case 'delete':
      return of(
        collection,
        command['deletes'].map(({ q }: Document) => q),
      )
    case 'insert':
      return of(collection, command['documents'])
    case 'aggregate': {
      const [first, ...others] = command['pipeline']
      if (first?.$changeStream !== undefined) return []
      const unions = others.flatMap(({ $unionWith }: Document) => ($unionWith === undefined ? [] : [$unionWith]))
      const nested = unions.flatMap(({ coll, pipeline }: Document) => of(String(coll), [pipeline[0]['$match']]))
      return [...of(collection, [first?.$match ?? {}]), ...nested]
    }
    default:
      return []
  }
}

function isTargeted({ collection, filter }: Sent): boolean {
  const field = shardKeys.get(collection)
  return field === undefined || filter[field] !== undefined
}

function kindOf({ collection, name, filter }: Sent): string {
  return `${name} ${collection} by ${Object.keys(filter).join(', ')}`
}

/** What is sent to all shards, each kind once. */
function broadcasts(sent: readonly Sent[]): string[] {
  return [...new Set(sent.filter((one) => !isTargeted(one)).map(kindOf))].toSorted()
}

/** What each process asks every shard for at its start, and then at intervals. */
const looks = [
  'find attachments by sweepAt',
  'find audit by at',
  'find loose_bytes by sweepAt',
  'find runs by sweepAt, v',
  'find runs by toArchive, v, $expr',
  'find sessions by purge, purge.erasure, v',
  'findAndModify runs by status, v, $or',
]

/** Waits for the looks of the engines that have just begun, and forgets what was sent so far. */
async function hasLooked(engines: number): Promise<void> {
  const { sent } = watched
  const times = () => looks.map((look) => sent.filter((one) => kindOf(one) === look).length)
  await vi.waitFor(() => expect(Math.min(...times())).toBeGreaterThanOrEqual(engines), waitOptions)
  expect(broadcasts(sent)).toEqual(looks)
  sent.length = 0
}

async function openWatched() {
  const database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const { databaseName } = database
  const storage = createMongoStorage({ client, databaseName, clock: systemClock })
  const sent: Sent[] = []
  client.on('commandStarted', ({ commandName, command, databaseName: name }) => {
    if (name === databaseName) sent.push(...sentBy(commandName, command))
  })
  return {
    database: { ...database, storage },
    sent,
    async [Symbol.asyncDispose]() {
      await client.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

let watched: Awaited<ReturnType<typeof openWatched>>
beforeAll(async () => void (watched = await openWatched()))
afterAll(async () => await watched[Symbol.asyncDispose]())

/** After their first look no loop looks for work. */
const quiet = {
  heartbeatMs: 200_000,
  selfFenceMs: 400_000,
  leaseMs: 600_000,
  recoveryMs: 600_000,
  cancelPollMs: 600_000,
  sweepMs: 600_000,
  archiveDelayMs: 600_000,
  auditStoreMs: 600_000,
}

it('turns, follows in three processes, a queue, a cancel and an archive ask no more than one shard at a time', async () => {
  const { database, sent } = watched
  const agent = manualAgent()
  const open = (wrap = {}) => openEngine(database, { agents: [agent], options: quiet, wrap: () => wrap })
  await using engine = open()
  await using hinted = open()
  await using polling = open({ logWatcher: undefined, sessionWatcher: undefined })
  await hasLooked(3)
  const runId = await startRun(engine)
  const following = [engine, hinted, polling].map(async (one) => await followAll(one, runId))
  agent.say('one ', 'two')
  await engine.runs.start(ada, {
    runId: crypto.randomUUID(),
    sessionId: 'session-1',
    message: 'Next',
    whenBusy: 'queue',
  })
  agent.end()
  await Promise.all(following)
  const { items } = await engine.messages.list(ada, 'session-1', { order: 'newest', limit: 10 })
  await Promise.all(items.map(async ({ id }) => await engine.messages.get(ada, 'session-1', id)))
  const { activeRunId } = await engine.sessions.get(ada, 'session-1')
  if (activeRunId !== null) await engine.runs.cancel(ada, activeRunId)
  await engine.messages.append(ada, { sessionId: 'session-1', role: 'user', content: 'By hand' })
  const { eventLog } = database.storage
  await eventLog.archive([eventLog.keyOf(ada, runId)], { expiresAt: new Date('2100-01-01') })
  await followAll(hinted, runId)
  expect(shardKeys.size).toBe(10)
  expect(new Set(sent.map(({ collection }) => collection))).toEqual(
    new Set(['sessions', 'messages', 'runs', 'run_events', 'run_archives', 'erasures']),
  )
  expect(broadcasts(sent)).toEqual([])
})

it('only lists of an owner, and of the runs of a session, ask every shard', async () => {
  const { database, sent } = watched
  await using engine = openEngine(database, { agents: [pacedAgent(answerOf(['x']))], options: quiet })
  await hasLooked(1)
  await engine.sessions.list(ada, { limit: 10 })
  await engine.runs.list(ada, 'session-1', { limit: 10 })
  expect(broadcasts(sent)).toEqual(['find runs by s', 'find sessions by tenantId, ownerId'])
})

it('every unique index begins with the shard key of its collection', async () => {
  const db = watched.database.client.db(watched.database.databaseName)
  for (const [collection, field] of shardKeys) {
    const indexes = await db.collection(collection).indexes()
    const unique = indexes.filter((index) => index.unique === true).map(({ key }) => Object.keys(key)[0])
    // The index of `_id` is unique on each shard; where another field divides, `_id` is made of what that field is made of.
    const others = unique.filter((first) => first !== field && first !== '_id')
    expect({ collection, others, isMade: indexes.length > 0 }).toEqual({ collection, others: [], isMade: true })
  }
})
