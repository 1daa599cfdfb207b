/**
 * P6 with files: a turn about an image of 4 MB costs the same in a session with 1,000 images, and no document has grown. The other images
 * have 20 KB each: 4 GB would take minutes, and a document holds no byte of any of them.
 */
import { attachmentIdsOf } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Agent, Engine } from '@verbatim/core/server'
import { BSON, MongoClient } from 'mongodb'
import type { CommandStartedEvent } from 'mongodb'
import { expect, inject, it } from 'vitest'
import { answerOf } from '../support/agents.ts'
import { dbOf } from '../support/deleted.ts'
import { openDatabase } from '../support/engine.ts'
import { imageOf, pngOf, upload } from '../support/files.ts'
import { ada, followAll } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const still = {
  heartbeatMs: 200_000,
  selfFenceMs: 400_000,
  leaseMs: 600_000,
  recoveryMs: 600_000,
  cancelPollMs: 600_000,
  sweepMs: 600_000,
  archiveDelayMs: 600_000,
}
const signal = AbortSignal.timeout(240_000)

/** Reads what the newest prompt names. */
const reading: Agent = {
  id: 'reading',
  maxHistoryMessages: 6,
  async *stream({ messages, attachments }) {
    for (const id of attachmentIdsOf(messages.at(-1)?.content ?? [])) await attachments?.read(id, { signal })
    yield* answerOf(['A tree'])
  },
}

async function turn(engine: Engine, bytes: Buffer): Promise<void> {
  const { id } = await upload(engine, bytes)
  const message = [imageOf(id), { type: 'text', text: 'What is this?' } as const]
  const run = await engine.runs.start(ada, { sessionId: 's', runId: crypto.randomUUID(), message })
  await followAll(engine, run.id)
  await expectIdle(engine)
}

/** Images of a session, in messages of ten. */
async function addImages(engine: Engine, count: number): Promise<void> {
  for (let at = 0; at < count; at += 10) {
    const images = await Promise.all(Array.from({ length: 10 }, () => upload(engine, pngOf(20_000))))
    const content = images.map(({ id }) => imageOf(id))
    await engine.messages.append(ada, { sessionId: 's', role: 'user', content })
  }
}

it('a turn with an image of 4 MB costs the same at 10 and at 1,000 images, and no document grows', async () => {
  await using database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  const engine = createEngine({ ...storage, agents: [reading] }, still)
  const measure = async () => {
    const commands: Record<string, number> = {}
    const count = ({ commandName }: CommandStartedEvent) => (commands[commandName] = (commands[commandName] ?? 0) + 1)
    client.on('commandStarted', count)
    await turn(engine, pngOf(4_000_000))
    client.off('commandStarted', count)
    return { commands, largest: await largestDocuments() }
  }
  const largestDocuments = async () => {
    const names = ['sessions', 'messages', 'runs', 'attachments']
    const sizes = names.map(async (name) => {
      const documents = await dbOf(database).collection(name).find().toArray()
      return [name, Math.max(...documents.map((document) => BSON.calculateObjectSize(document)))] as const
    })
    return Object.fromEntries(await Promise.all(sizes))
  }
  await turn(engine, pngOf(4_000_000))
  await addImages(engine, 10)
  const few = await measure()
  await addImages(engine, 990)
  const many = await measure()
  expect(await dbOf(database).collection('attachments').countDocuments()).toBe(1_003)
  expect(many).toEqual(few)
  expect(Object.values(many.largest).every((size) => size < 5_000)).toBe(true)
  await engine.close()
  await client.close()
}, 240_000)
