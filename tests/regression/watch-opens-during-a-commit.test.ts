import { ownerOf } from '@verbatim/core'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { RunKey } from '@verbatim/core/server'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import { expect, it, vi } from 'vitest'
import { env } from '../support/env.ts'
import { waitOptions } from '../support/follow.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

it('the watch reports an entry that was written but not confirmed when the watch opened', async () => {
  await using mongo = await startReplicaSet({ env, electionTimeoutMillis: 8_000 })
  const primary = await mongo.primaryIndex()
  const secondaries = [1, 2].map((step) => (primary + step) % 3)
  await using client = createMongoClient(mongo.uri)
  const storage = createMongoStorage({ client, databaseName: 'watch', clock: systemClock })
  await storage.migrate()
  const key = storage.eventLog.keyOf(owner, crypto.randomUUID())
  const watching = new AbortController()
  const grownKeys: RunKey[] = []
  await Promise.all(secondaries.map((index) => mongo.kill(index, 'SIGSTOP')))
  const entry = { key, owner, firstSeq: 1, batchId: 'b', events: [{ type: 'message_stop' as const }] }
  const appending = storage.eventLog.append([entry], { signal: AbortSignal.timeout(20_000) })
  await vi.waitFor(async () => expect(await localCount(client)).toBe(1), waitOptions)
  const opened = Promise.withResolvers<void>()
  const onGap = () => opened.resolve()
  const onGrowth = (grown: RunKey) => void grownKeys.push(grown)
  const watch = storage.logWatcher.watch({ onGrowth, onGap, onUnsupported: () => {} }, watching.signal)
  await opened.promise
  expect(await storage.eventLog.read(key, { after: 0, maxBatches: 1 })).toEqual([])
  await Promise.all(secondaries.map((index) => mongo.kill(index, 'SIGCONT')))
  await appending
  await vi.waitFor(() => expect(grownKeys).toEqual([key]), waitOptions)
  watching.abort()
  await watch
}, 60_000)

type Client = ReturnType<typeof createMongoClient>

/** Entries that the primary has, confirmed or not. */
async function localCount(client: Client): Promise<number> {
  const events = client.db('watch').collection('run_events')
  return (await events.find({}, { readConcern: { level: 'local' } }).toArray()).length
}
