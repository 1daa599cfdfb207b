/** Keys that are away, destroyed, rotated or wrong, and content that was changed: every answer is typed, and every run ends. */
import { textOf } from '@verbatim/core'
import { openLocalKeys, systemClock } from '@verbatim/core/server'
import type { Clock } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { readFile, writeFile } from 'node:fs/promises'
import type { Document } from 'mongodb'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { expireLeases, openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, startRun, waitOptions } from '../support/follow.ts'
import { newMasterKey, openTestKeys, otherProcess } from '../support/keys.ts'
import { echoAgent, start } from '../support/queue.ts'

const options = { ...shortLeases, recoveryMs: 30 }
const unreadable = (kind: string) => ({ code: 'CONTENT_UNREADABLE', retryable: false, data: { kind } })

/** A clock that a test moves on. */
function movableClock(): Clock & { moveMs: (ms: number) => void } {
  let moved = 0
  return {
    now: () => systemClock.now(),
    monotonicMs: () => systemClock.monotonicMs() + moved,
    moveMs: (ms) => void (moved += ms),
  }
}

const dbOf = ({ client, databaseName }: TestDatabase) => client.db(databaseName)

async function messagesOf(reader: ReturnType<typeof otherProcess>, sessionId = 'session-1') {
  return (await reader.sessionRepository.listMessages(ada, sessionId, { order: 'oldest', limit: 10 })).items
}

/** A session with one answered prompt, sealed. */
async function openAnswered() {
  const keys = await openTestKeys()
  const database = await openDatabase({ keys: keys.keys })
  const engine = openEngine(database, { agents: [echoAgent()], options })
  const runId = await startRun(engine, { message: 'hello' })
  const events = await followAll(engine, runId)
  return {
    keys,
    database,
    engine,
    runId,
    events,
    /** As a process that starts now: no key is in its memory. */
    fresh: () => otherProcess(database, { keys: keys.keys }),
    async [Symbol.asyncDispose]() {
      await engine.close()
      await database[Symbol.asyncDispose]()
      await keys[Symbol.asyncDispose]()
    },
  }
}

describe('the key service is away', () => {
  it('A start, an append and a title fail with UNAVAILABLE, and nothing of them is stored', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    await using engine = openEngine(database, { agents: [echoAgent()] })
    keys.away(true)
    const unavailable = { code: 'UNAVAILABLE', data: { retryAfterMs: 1_000 } }
    await expect(startRun(engine)).rejects.toMatchObject(unavailable)
    const message = { sessionId: 's', role: 'user', content: 'hi' } as const
    await expect(engine.messages.append(ada, message)).rejects.toMatchObject(unavailable)
    await expect(engine.sessions.create(ada, { sessionId: 's', title: 'Hi' })).rejects.toMatchObject(unavailable)
    for (const name of ['sessions', 'messages', 'runs', 'run_events']) {
      expect(await dbOf(database).collection(name).countDocuments()).toBe(0)
    }
    keys.away(false)
    await vi.waitFor(async () => await startRun(engine), waitOptions)
  })

  it('A session without a title is made without a key', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    keys.away(true)
    await using engine = openEngine(database, { agents: [echoAgent()] })
    expect((await engine.sessions.create(ada, { sessionId: 's' })).id).toBe('s')
    expect(keys.calls()).toBe(0)
  })

  it('A run that goes on is stored to its end with the key in memory', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase()
    const clock = movableClock()
    const agent = manualAgent()
    const ports = otherProcess(database, { keys: keys.keys }, clock)
    await using engine = openEngine(database, { agents: [agent], options, wrap: () => ports })
    const runId = await startRun(engine)
    agent.say('One ')
    keys.away(true)
    clock.moveMs(10 * 60_000)
    agent.say('two')
    agent.end()
    expect(answerFrom(await followAll(engine, runId))).toMatchObject({ status: 'completed' })
    expect(textOf((await answerMessage(engine, runId)).content)).toBe('One two')
    // What begins needs a key that was confirmed lately, so that it has one to its end.
    await expect(startRun(engine)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('A process without the key in memory answers UNAVAILABLE to readers, and reads when the service is back', async () => {
    await using test = await openAnswered()
    const reader = test.fresh()
    test.keys.away(true)
    const key = reader.eventLog.keyOf(ada, test.runId)
    await expect(messagesOf(reader)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(reader.eventLog.read(key, { after: 0, maxBatches: 9 })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(reader.sessionRepository.listSessions(ada, { limit: 9 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    })
    test.keys.away(false)
    await vi.waitFor(async () => expect(await messagesOf(reader)).toHaveLength(2), waitOptions)
  })

  it('A run whose process is lost meanwhile ends when the service is back', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    const agent = manualAgent()
    await using first = openCrashableEngine(database, { agents: [agent], options })
    const runId = await startRun(first.engine)
    agent.say('One ')
    await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBeGreaterThan(1), waitOptions)
    keys.away(true)
    await first.crash()
    const wrap = () => otherProcess(database, { keys: keys.keys })
    const logged: string[] = []
    const logger = { info() {}, error() {}, warn: (_fields: object, message: string) => void logged.push(message) }
    await using second = openEngine(database, { agents: [agent], options, wrap: () => ({ ...wrap(), logger }) })
    await vi.waitFor(() => expect(logged.join()).toContain('could not be recovered'), waitOptions)
    keys.away(false)
    await vi.waitFor(async () => {
      await expireLeases(database)
      expect((await second.runs.get(ada, runId)).status).toBe('interrupted')
    }, waitOptions)
    expect(textOf((await answerMessage(second, runId)).content)).toBe('One ')
  })
})

describe('the key of an owner is destroyed', () => {
  it('Messages and events answer CONTENT_UNREADABLE; lists of sessions go on without titles, and a deletion removes all', async () => {
    await using test = await openAnswered()
    await test.database.storage.contentKeys.erase(ada)
    await test.database.storage.contentKeys.erase(ada)
    await using engine = openEngine(test.database, { agents: [echoAgent()], wrap: test.fresh })
    const list = engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 9 })
    await expect(list).rejects.toMatchObject(unreadable('key_destroyed'))
    await expect(followAll(engine, test.runId)).rejects.toMatchObject(unreadable('key_destroyed'))
    expect((await engine.runs.get(ada, test.runId)).status).toBe('completed')
    const sessions = await engine.sessions.list(ada, { limit: 9 })
    expect(sessions.items).toMatchObject([{ id: 'session-1', title: null, messageCount: 2 }])
    expect(await engine.sessions.delete(ada, { sessionId: 'session-1' })).toMatchObject({ isPurged: true })
    expect(await dbOf(test.database).collection('messages').countDocuments()).toBe(0)
  })

  it('A backup of the database, restored after it, does not bring the content back', async () => {
    await using test = await openAnswered()
    const backup = await dump(test.database)
    const { engine } = test
    await engine.sessions.delete(ada, { sessionId: 'session-1' })
    await test.database.storage.contentKeys.erase(ada)
    // The owner comes back, and so does the backup.
    await followAll(engine, await startRun(engine, { sessionId: 'session-2', message: 'here again' }))
    await restore(test.database, backup)
    const reader = test.fresh()
    await expect(messagesOf(reader)).rejects.toMatchObject(unreadable('key_destroyed'))
    const log = reader.eventLog.read(reader.eventLog.keyOf(ada, test.runId), { after: 0, maxBatches: 9 })
    await expect(log).rejects.toMatchObject(unreadable('key_destroyed'))
    expect(textOf((await messagesOf(reader, 'session-2'))[0]?.content ?? [])).toBe('here again')
  })

  it('A backup that is restored before the erasure reads as it was, so that the test before can fail', async () => {
    await using test = await openAnswered()
    const backup = await dump(test.database)
    await test.engine.sessions.delete(ada, { sessionId: 'session-1' })
    await restore(test.database, backup)
    expect(await messagesOf(test.fresh())).toHaveLength(2)
  })

  it('Another process reads for 30 s more at most while the key service answers', async () => {
    await using test = await openAnswered()
    const clock = movableClock()
    const reader = otherProcess(test.database, { keys: test.keys.keys }, clock)
    expect(await messagesOf(reader)).toHaveLength(2)
    await test.database.storage.contentKeys.erase(ada)
    expect(await messagesOf(reader)).toHaveLength(2)
    clock.moveMs(30_000)
    await expect(messagesOf(reader)).rejects.toMatchObject(unreadable('key_destroyed'))
  })

  it('Another process reads for 15 minutes more at most while the key service is away from it', async () => {
    await using test = await openAnswered()
    const clock = movableClock()
    const reader = otherProcess(test.database, { keys: test.keys.keys }, clock)
    expect(await messagesOf(reader)).toHaveLength(2)
    test.keys.away(true)
    clock.moveMs(14 * 60_000)
    expect(await messagesOf(reader)).toHaveLength(2)
    clock.moveMs(60_000)
    await expect(messagesOf(reader)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('A lost run ends without content, its followers receive the error, and the prompt that waits after it ends too', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    const silent = manualAgent({ id: 'echo' })
    await using first = openCrashableEngine(database, { agents: [silent], options })
    const runId = await startRun(first.engine, { message: 'hello' })
    silent.say('One ')
    await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBeGreaterThan(1), waitOptions)
    await database.storage.contentKeys.erase(ada)
    // After the erasure, so with another key.
    const next = await start(first.engine, 'second', { whenBusy: 'queue' })
    await first.crash()
    await using second = openEngine(database, {
      agents: [echoAgent()],
      options,
      wrap: () => otherProcess(database, { keys: keys.keys }),
    })
    await vi.waitFor(async () => {
      const run = await second.runs.get(ada, runId)
      expect(run).toMatchObject({ status: 'failed', error: unreadable('key_destroyed') })
    }, waitOptions)
    await expect(followAll(second, runId)).rejects.toMatchObject(unreadable('key_destroyed'))
    expect((await answerMessage(second, runId)).content).toEqual([])
    // Its history has a prompt that is unreadable: it ends, with the reason.
    await vi.waitFor(async () => expect((await second.runs.get(ada, next.id)).status).toBe('failed'), waitOptions)
    expect((await second.runs.get(ada, next.id)).error).toMatchObject(unreadable('key_destroyed'))
  })
})

describe('what is stored was changed', () => {
  /** Flips one bit of the last byte. */
  const flip = (sealed: Uint8Array) =>
    Buffer.from(sealed.map((byte, at) => (at === sealed.length - 1 ? byte ^ 1 : byte)))

  it('A message that was changed, or put in the place of another, answers CONTENT_UNREADABLE', async () => {
    await using test = await openAnswered()
    const messages = dbOf(test.database).collection<Document>('messages')
    const [user, assistant] = await messages.find().sort({ seq: 1 }).toArray()
    await messages.updateOne({ seq: 1 }, { $set: { content: flip(user?.['content'].buffer) } })
    await expect(messagesOf(test.fresh())).rejects.toMatchObject(unreadable('damaged'))
    await messages.updateOne({ seq: 1 }, { $set: { content: assistant?.['content'] } })
    await expect(messagesOf(test.fresh())).rejects.toMatchObject(unreadable('damaged'))
    await messages.updateOne({ seq: 1 }, { $set: { content: user?.['content'] } })
    expect(await messagesOf(test.fresh())).toHaveLength(2)
  })

  it('Events that were moved within their log answer CONTENT_UNREADABLE', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    const agent = pacedAgent(answerOf(['One ', 'two ', 'three']))
    await using engine = openEngine(database, { agents: [agent] })
    const runId = await startRun(engine)
    await followAll(engine, runId)
    const log = dbOf(database).collection<Document>('run_events')
    const [first, second] = await log.find({ 'e.type': 'sealed' }).sort({ _id: 1 }).toArray()
    const data = second?.['e'][0].data
    expect(data).toBeDefined()
    await log.updateOne({ _id: first!._id }, { $set: { 'e.0.data': data } })
    const { eventLog } = database.storage
    const read = eventLog.read(eventLog.keyOf(ada, runId), { after: 0, maxBatches: 99 })
    await expect(read).rejects.toMatchObject(unreadable('damaged'))
  })

  it('A lost run whose log was changed ends without content', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    const agent = manualAgent()
    await using first = openCrashableEngine(database, { agents: [agent], options })
    const runId = await startRun(first.engine)
    agent.say('One ')
    await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBeGreaterThan(1), waitOptions)
    const log = dbOf(database).collection<Document>('run_events')
    const entry = await log.findOne({ 'e.type': 'sealed' })
    await log.updateOne({ _id: entry!._id }, { $set: { 'e.0.data': flip(entry?.['e'][0].data.buffer) } })
    await first.crash()
    await using second = openEngine(database, { agents: [agent], options })
    await vi.waitFor(async () => expect((await second.runs.get(ada, runId)).status).toBe('failed'), waitOptions)
    expect((await second.runs.get(ada, runId)).error).toMatchObject(unreadable('damaged'))
    expect(await second.sessions.get(ada, 'session-1')).toMatchObject({ activeRunId: null })
  })
})

describe('the option is switched', () => {
  it('What was stored before is read with it, and what it sealed is read after it was switched off', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase(undefined)
    const encryptions = [undefined, { keys: keys.keys }, { keys: keys.keys, sealNew: false }]
    for (const [at, encryption] of encryptions.entries()) {
      const wrap = () => otherProcess(database, encryption)
      await using engine = openEngine(database, { agents: [echoAgent()], wrap })
      const runId = await startRun(engine, { message: `prompt ${at}` })
      expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
      const read = await messagesOf(wrap())
      expect(read.map(({ content }) => textOf(content))).toHaveLength(2 * (at + 1))
    }
    const contents = await dbOf(database).collection('messages').find().sort({ seq: 1 }).toArray()
    expect(contents.map(({ content }) => Array.isArray(content))).toEqual([true, true, false, false, true, true])
    await expect(messagesOf(otherProcess(database, undefined))).rejects.toMatchObject(unreadable('no_key_service'))
  })

  it('A start that is repeated after the switch is the same run', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase(undefined)
    const off = { keys: keys.keys, sealNew: false }
    for (const [before, after] of [
      [undefined, { keys: keys.keys }],
      [{ keys: keys.keys }, off],
    ]) {
      const runId = crypto.randomUUID()
      for (const encryption of [before, after]) {
        const wrap = () => otherProcess(database, encryption)
        await using engine = openEngine(database, { agents: [echoAgent()], wrap })
        await startRun(engine, { runId, message: 'once' })
        expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
      }
      expect(await dbOf(database).collection('messages').countDocuments({ runId, role: 'user' })).toBe(1)
    }
  })
})

it('A new master key wraps what the old one did, and then the old one is needed no more', async () => {
  await using test = await openAnswered()
  const { keyFile, directory } = test.keys
  const old = await readFile(keyFile, 'utf8')
  await writeFile(keyFile, `${newMasterKey()}${old}`)
  const { signal } = new AbortController()
  const rotated = await openLocalKeys({ keyFile, directory })
  expect(await messagesOf(otherProcess(test.database, { keys: rotated }))).toHaveLength(2)
  expect(await rotated.rewrapAll({ signal })).toBe(1)
  expect(await rotated.rewrapAll({ signal })).toBe(0)
  const [first = ''] = (await readFile(keyFile, 'utf8')).split('\n')
  await writeFile(keyFile, `${first}\n`)
  expect(
    await messagesOf(otherProcess(test.database, { keys: await openLocalKeys({ keyFile, directory }) })),
  ).toHaveLength(2)
  await writeFile(keyFile, old)
  await expect(openLocalKeys({ keyFile, directory })).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
})

it('An answer that goes on after its process was lost is whole, and sealed', async () => {
  await using keys = await openTestKeys()
  await using database = await openDatabase({ keys: keys.keys })
  const speaker = manualAgent({ id: 'hand', onCrash: 'continue' })
  await using first = openCrashableEngine(database, { agents: [speaker], options })
  const runId = await startRun(first.engine)
  speaker.say('One, two, ')
  await vi.waitFor(() => expect(first.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
  await first.crash()
  const rest = pacedAgent(answerOf(['three.']), { id: 'hand', onCrash: 'continue' })
  const wrap = () => otherProcess(database, { keys: keys.keys })
  await using second = openEngine(database, { agents: [rest], options, wrap })
  const { continuedBy } = answerFrom(await followAll(second, runId))
  expect(continuedBy).not.toBeNull()
  expect(answerFrom(await followAll(second, continuedBy ?? '')).status).toBe('completed')
  const texts = (await messagesOf(wrap()))
    .filter(({ role }) => role === 'assistant')
    .map(({ content }) => textOf(content))
  expect(texts).toEqual(['One, two, ', 'three.'])
  const stored = await dbOf(database).collection('messages').find().toArray()
  expect(stored.map(({ content }) => Array.isArray(content))).toEqual([false, false, false, false])
})

type Dump = ReadonlyMap<string, Document[]>

async function dump(database: TestDatabase): Promise<Dump> {
  const collections = await dbOf(database).listCollections().toArray()
  const read = async (name: string) => await dbOf(database).collection<Document>(name).find().toArray()
  return new Map(await Promise.all(collections.map(async ({ name }) => [name, await read(name)] as const)))
}

/** Puts back what the dump holds; what came later and does not conflict stays. */
async function restore(database: TestDatabase, backup: Dump): Promise<void> {
  for (const [name, documents] of backup) {
    for (const document of documents) {
      await dbOf(database).collection<Document>(name).replaceOne({ _id: document['_id'] }, document, { upsert: true })
    }
  }
}
