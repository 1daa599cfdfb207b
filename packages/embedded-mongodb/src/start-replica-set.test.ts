import { MongoClient } from 'mongodb'
import { expect, test } from 'vitest'
import { startReplicaSet } from './start-replica-set.ts'

// oxlint-disable-next-line node/no-process-env -- the binary is found through the environment
const env = process.env

test(
  'a replica set of three elects another primary after a kill, and the killed node comes back',
  { timeout: 90_000 },
  async () => {
    await using set = await startReplicaSet({ env, electionTimeoutMillis: 4_000 })
    await using client = new MongoClient(set.uri)
    const notes = client.db('app').collection('notes', { writeConcern: { w: 'majority' } })
    await notes.insertOne({ text: 'before' })

    const killed = await set.primaryIndex()
    await set.kill(killed)
    const next = await set.primaryIndex()
    expect(next).not.toBe(killed)
    await notes.insertOne({ text: 'after' })

    await set.restart(killed)
    expect(set.members[killed]?.isRunning()).toBe(true)
    expect(await notes.countDocuments()).toBe(2)
  },
)
