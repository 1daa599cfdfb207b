/**
 * A commit that is written to a socket which was just reset fails with a plain Error, on which the driver itself stumbles (a
 * TypeError of its own). That is a database that is away for a moment, and no bug of the server's: found by the torture.
 */
import { ownerOf } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import { scriptedAgent } from '@verbatim/core/testing'
import { TcpProxy } from '@verbatim/test-kit/http'
import { MongoClient } from 'mongodb'
import { expect, inject, test } from 'vitest'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

test('a start whose commit meets a reset socket is committed all the same', async () => {
  const { port } = new URL(inject('mongoUri').split(',')[0] ?? '')
  await using way = await TcpProxy.start(() => [Number(port)])
  const uri = `mongodb://127.0.0.1:${way.port}/?directConnection=true`
  await using client = new MongoClient(uri, { monitorCommands: true, serverMonitoringMode: 'poll' })
  const databaseName = `verbatim-test-${crypto.randomUUID().slice(0, 13)}`
  const storage = createMongoStorage({ client, databaseName, clock: systemClock })
  await storage.migrate()
  await using engine = createEngine({ ...storage, agents: [scriptedAgent([])] })
  let resets = 0
  // Emitted right before the command is written.
  client.on('commandStarted', ({ commandName }) => {
    if (commandName !== 'commitTransaction' || resets > 0) return
    resets++
    way.cut()
  })

  const runId = crypto.randomUUID()
  const run = await engine.runs.start(ada, { sessionId: 's', runId, message: 'go' })

  expect(resets).toBe(1)
  expect(run.id).toBe(runId)
  expect((await engine.runs.get(ada, runId)).id).toBe(runId)
  await client.db(databaseName).dropDatabase()
})
