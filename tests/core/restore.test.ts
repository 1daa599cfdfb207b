/** A backup brings back what was deleted after it. What the audit says of these deletions is enough to repeat them. */
import type { Document } from 'mongodb'
import { expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { dbOf } from '../support/deleted.ts'
import { expireLeases, openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { eraseNow, leftOf } from '../support/principals.ts'

const secret = 'the treasure is under the oak'

it('what was deleted and erased after a backup is removed again after its restore, and the rest stays', async () => {
  await using database = await openDatabase()
  const db = dbOf(database)
  const agent = manualAgent()
  const first = openEngine(database, { agents: [agent], options: { ...shortLeases, sweepMs: 600_000 } })
  const answer = async (sessionId: string, message: string, owner = ada) => {
    const runId = await startRun(first, { sessionId, message, owner })
    agent.say(message)
    agent.end()
    await followAll(first, runId, { owner })
  }
  await answer('kept', 'Stay')
  await answer('deleted', secret)
  await answer('hers', secret, eve)
  // One run is active in the backup, and one waits.
  await startRun(first, { sessionId: 'deleted', message: secret })
  await first.runs.start(ada, { sessionId: 'deleted', runId: crypto.randomUUID(), message: secret, whenBusy: 'queue' })
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name)
  const backup = new Map<string, Document[]>()
  for (const name of names) backup.set(name, await db.collection(name).find().toArray())

  await first.sessions.delete(ada, { sessionId: 'deleted' })
  await eraseNow(database.storage.principalRepository, eve)
  await first.close()
  const receipts = await db.collection<{ _id: string; action: string; target: string | null }>('audit').find().toArray()
  expect(await leftOf(database, [secret])).toEqual([])
  for (const [name, documents] of backup) {
    await db.collection(name).deleteMany({})
    if (documents.length > 0) await db.collection(name).insertMany(documents)
  }
  await expireLeases(database)
  expect(await leftOf(database, [secret])).not.toEqual([])

  expect(await database.storage.deleteAgain(receipts)).toBe(2)
  expect(await database.storage.deleteAgain(receipts)).toBe(0)
  const options = { ...shortLeases, recoveryMs: 20, sweepMs: 20 }
  await using second = openEngine(database, { agents: [manualAgent()], options })
  await vi.waitFor(
    async () => expect(await leftOf(database, [secret, JSON.stringify(eve.ownerId)])).toEqual(['erasures']),
    waitOptions,
  )
  await expect(second.sessions.get(ada, 'deleted')).rejects.toMatchObject({ code: 'SESSION_DELETED' })
  await expect(second.sessions.create(eve, { sessionId: 'new' })).rejects.toMatchObject({ code: 'PRINCIPAL_ERASING' })
  expect((await second.messages.list(ada, 'kept', { order: 'oldest', limit: 5 })).items).toHaveLength(2)
})
