import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import { MongoClient } from 'mongodb'
import { expect, it, vi } from 'vitest'
import { env } from '../support/env.ts'
import { waitOptions } from '../support/follow.ts'

it('the watcher keeps one stream open while nothing happens and replaces a stream that is never answered', async () => {
  // A server of its own: there is one fail point a server, and other tests use it.
  await using mongo = await startReplicaSet({ env, nodes: 1, setParameters: { enableTestCommands: 1 } })
  const appName = 'watch'
  await using client = new MongoClient(mongo.uri, { appName, monitorCommands: true })
  const openings: string[] = []
  client.on('commandStarted', ({ commandName }) => void (commandName === 'aggregate' && openings.push(commandName)))
  const storage = createMongoStorage({ client, databaseName: 'watch', clock: systemClock })
  await storage.migrate()
  const over = new AbortController()
  const onGap = vi.fn<() => void>()
  const watching = storage.logWatcher.watch({ onGrowth: () => {}, onGap, onUnsupported: () => {} }, over.signal)
  await vi.waitFor(() => expect(onGap).toHaveBeenCalledTimes(1), waitOptions)
  await new Promise((resolve) => setTimeout(resolve, 6_500)) // longer than a stream may be silent: an idle one is not
  expect([openings.length, onGap.mock.calls.length]).toEqual([1, 1])

  const data = { failCommands: ['getMore'], blockConnection: true, blockTimeMS: 20_000, appName }
  await client.db('admin').command({ configureFailPoint: 'failCommand', mode: { times: 1 }, data })
  await vi.waitFor(() => expect([openings.length, onGap.mock.calls.length]).toEqual([2, 2]), waitOptions)
  over.abort()
  await watching
}, 60_000)
