/**
 * A commit that is written to a socket which was just reset fails with a plain Error, on which the driver itself stumbles (a
 * TypeError of its own). That is a database that is away for a moment, and no bug of the server's: found by the torture.
 */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { ownerOf } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import { scriptedAgent } from '@verbatim/core/testing'
import { MongoClient } from 'mongodb'
import { expect, inject, test } from 'vitest'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

/** A way to MongoDB whose connections can all be reset at once. */
async function startWay() {
  const { hostname, port } = new URL(inject('mongoUri').split(',')[0] ?? '')
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect({ host: hostname, port: Number(port) })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {}) // told by 'close'
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port: ownPort } = server.address() as AddressInfo // a TCP server has one
  return {
    uri: `mongodb://127.0.0.1:${ownPort}/?directConnection=true`,
    reset: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('a start whose commit meets a reset socket is committed all the same', async () => {
  await using way = await startWay()
  await using client = new MongoClient(way.uri, { monitorCommands: true, serverMonitoringMode: 'poll' })
  const databaseName = `verbatim-test-${crypto.randomUUID().slice(0, 13)}`
  const storage = createMongoStorage({ client, databaseName, clock: systemClock })
  await storage.migrate()
  await using engine = createEngine({ ...storage, agents: [scriptedAgent([])] })
  let resets = 0
  // Told right before the command is written.
  client.on('commandStarted', ({ commandName }) => {
    if (commandName !== 'commitTransaction' || resets > 0) return
    resets++
    way.reset()
  })

  const runId = crypto.randomUUID()
  const run = await engine.runs.start(ada, { sessionId: 's', runId, message: 'go' })

  expect(resets).toBe(1)
  expect(run.id).toBe(runId)
  expect((await engine.runs.get(ada, runId)).id).toBe(runId)
  await client.db(databaseName).dropDatabase()
})
