/** A page of large messages ends at a bound of bytes, and so does what is read for it. */
import { maxPageBytes, textOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, SessionManagerFactory, systemClock } from '@verbatim/core/server'
import type { Agent, AgentRequest, Engine } from '@verbatim/core/server'
import { BSON, MongoClient } from 'mongodb'
import type { CommandSucceededEvent } from 'mongodb'
import { describe, expect, inject, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun } from '../support/follow.ts'

const sessionId = 'session-1'
const largeBytes = 200 * 1024
const count = 14

function largeText(at: number): string {
  return `${at}`.padEnd(largeBytes, '.')
}

async function openMetered(agent: Agent = pacedAgent(answerOf(['Fine.']))) {
  const database = await openDatabase()
  const client = new MongoClient(inject('mongoUri'), { monitorCommands: true })
  const storage = createMongoStorage({ client, databaseName: database.databaseName, clock: systemClock })
  const engine = createEngine({ ...storage, agents: [agent] })
  return {
    engine,
    database,
    /** What the database answers meanwhile: bytes, commands, and how many messages it had to look at. */
    async measure(act: () => Promise<unknown>): Promise<{ bytes: number; commands: string[]; looked: number }> {
      const measured = { bytes: 0, commands: [] as string[], looked: 0 }
      const onSucceeded = ({ reply, commandName }: CommandSucceededEvent) => {
        if (!isOfSessions(reply as object)) return // the engine looks for lost runs and old ones meanwhile
        if (commandName === 'aggregate') measured.looked += batchOf(reply as object).length
        measured.bytes += BSON.calculateObjectSize(reply as BSON.Document)
        measured.commands.push(commandName)
      }
      client.on('commandSucceeded', onSucceeded)
      await act()
      client.off('commandSucceeded', onSucceeded)
      return measured
    },
    async [Symbol.asyncDispose]() {
      await engine.close()
      await client.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

function isOfSessions(reply: object): boolean {
  const { cursor } = reply as { cursor?: { ns: string } } // of a read
  return cursor !== undefined && /\.(?:sessions|messages)$/.test(cursor.ns)
}

function batchOf(reply: object): readonly unknown[] {
  return (reply as { cursor: { firstBatch: readonly unknown[] } }).cursor.firstBatch // of an aggregation
}

async function appendAll(engine: Engine, texts: readonly string[]): Promise<void> {
  for (const content of texts) await engine.messages.append(ada, { sessionId, role: 'user', content })
}

async function pagesOf(engine: Engine, order: 'oldest' | 'newest'): Promise<Message[][]> {
  const pages: Message[][] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<Engine['messages']['list']>> = await engine.messages.list(ada, sessionId, {
      order,
      limit: 100,
      cursor,
    })
    pages.push(page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return pages
}

describe('a page of large messages', () => {
  it('a page ends at its bound, and its cursor leads to every message once and in order', async () => {
    await using metered = await openMetered()
    const { engine } = metered
    await appendAll(
      engine,
      Array.from({ length: count }, (_, at) => largeText(at)),
    )
    for (const order of ['oldest', 'newest'] as const) {
      const pages = await pagesOf(engine, order)
      for (const page of pages) expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(maxPageBytes)
      const seen = pages.flat().map(({ content }) => Number.parseInt(textOf(content), 10))
      const expected = Array.from({ length: count }, (_, at) => at)
      expect(seen).toEqual(order === 'oldest' ? expected : expected.toReversed())
      expect(pages.length).toBe(Math.ceil(count / 5)) // five of 200 KiB in a megabyte
    }
    const read = await metered.measure(
      async () => await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 100 }),
    )
    expect(read.bytes).toBeLessThan(1.2 * maxPageBytes)
  })

  it('the database looks at few messages past the end of a page, from the second list of a session on', async () => {
    await using metered = await openMetered()
    const { engine } = metered
    await appendAll(
      engine,
      Array.from({ length: count }, (_, at) => largeText(at)),
    )
    const list = async (limit: number) => await engine.messages.list(ada, sessionId, { order: 'newest', limit })
    expect((await metered.measure(async () => await list(100))).looked).toBe(count)
    const again = await metered.measure(async () => await list(100))
    expect(again.looked).toBe(6) // five of 200 KiB in a megabyte, and the one that shows that there are more
    const shortTexts = Array.from({ length: 12 }, (_, at) => `short ${at}`)
    await appendAll(engine, shortTexts)
    const texts = async (limit: number) => (await list(limit)).items.map(({ content }) => textOf(content))
    expect(await texts(10)).toEqual(shortTexts.toReversed().slice(0, 10))
    const { looked } = await metered.measure(async () => await list(10))
    expect(looked).toBe(11) // one read again
  })

  it('a message that is larger than a page is a page of its own', async () => {
    const agent = pacedAgent(answerOf(Array.from({ length: 20 }, () => 'x'.repeat(100 * 1024))))
    await using metered = await openMetered(agent)
    const { engine } = metered
    expect(answerFrom(await followAll(engine, await startRun(engine, { message: 'Hi' }))).status).toBe('completed')
    await appendAll(engine, ['And then'])
    const pages = await pagesOf(engine, 'oldest')
    expect(pages.map((page) => page.map(({ seq }) => seq))).toEqual([[1], [2], [3]])
    expect(textOf(pages[1]?.[0]?.content ?? [])).toHaveLength(20 * 100 * 1024)
  })

  it('a page of small messages costs one read of the messages', async () => {
    await using metered = await openMetered()
    const { engine } = metered
    await appendAll(engine, ['one', 'two', 'three'])
    const { commands } = await metered.measure(
      async () => await engine.messages.list(ada, sessionId, { order: 'newest', limit: 50 }),
    )
    expect(commands.toSorted()).toEqual(['aggregate', 'find']) // the messages; the session
  })

  it('a program that asks for messages receives as many as it asks for, however large', async () => {
    await using metered = await openMetered()
    await appendAll(
      metered.engine,
      Array.from({ length: count }, (_, at) => largeText(at)),
    )
    const { databaseName } = metered.database
    const agents = [pacedAgent([])]
    await using factory = await SessionManagerFactory.connect({ uri: inject('mongoUri'), databaseName, agents })
    const session = factory.createSessionManager({
      sessionId,
      principal: { userId: ada.ownerId, tenantId: ada.tenantId },
    })
    expect((await session.history({ maxMessages: 12 })).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 12 }, (_, at) => count - 11 + at),
    )
  })

  it('an agent receives the newest messages up to a bound of bytes, and the prompt always', async () => {
    const received: AgentRequest[] = []
    const says = pacedAgent(answerOf(['Fine.']))
    const agent: Agent = {
      ...says,
      stream(request, signal) {
        received.push(request)
        return says.stream(request, signal)
      },
    }
    await using database = await openDatabase()
    await using engine = createEngine({ ...database.storage, agents: [agent] }, { maxHistoryBytes: 3 * largeBytes })
    await appendAll(
      engine,
      Array.from({ length: 6 }, (_, at) => largeText(at)),
    )
    await followAll(engine, await startRun(engine, { message: 'And now?' }))
    expect(received[0]?.messages.map(({ seq }) => seq)).toEqual([5, 6, 7])
    expect(received[0]?.hasOlder).toBe(true)
  })
})
