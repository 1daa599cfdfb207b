/** Many callers write to one session at once: each receives an answer of the session, and none takes the crowd for an outage. */
import { isVerbatimError, ownerOf } from '@verbatim/core'
import type { WhenBusy } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Agent, Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { MongoClient } from 'mongodb'
import { expect, inject, it, vi } from 'vitest'
import { openDatabase } from '../support/engine.ts'
import { ada, eve, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { echoAgent, fastLeases, sessionId, settled } from '../support/queue.ts'

/** An engine with a connection pool of its own, as another process has. */
async function openProcess({ databaseName }: TestDatabase, agent: Agent = echoAgent()) {
  const client = new MongoClient(inject('mongoUri'))
  const storage = createMongoStorage({ client, databaseName, clock: systemClock })
  const engine = createEngine({ ...storage, agents: [agent] }, { ...fastLeases, maxQueuedRuns: 100 })
  return {
    engine,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await client.close()
    },
  }
}

const clients = 16
const promptsPerClient = 12

/** What became of many calls, by kind. */
class Outcomes {
  readonly counts = new Map<string, number>()

  async add(call: () => Promise<string>): Promise<void> {
    const outcome = await call().catch((error: unknown) =>
      isVerbatimError(error) ? [error.code, error.data.kind].filter(Boolean).join(' ') : String(error),
    )
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1)
  }

  /** The kinds that are not in `known`. */
  othersThan(...known: readonly string[]): string[] {
    return [...this.counts.keys()].filter((outcome) => !known.includes(outcome))
  }
}

const busy = ['SESSION_BUSY', 'SESSION_BUSY queue_full', 'SESSION_BUSY contention']

async function startOne(engine: Engine, input: { sessionId: string; whenBusy?: WhenBusy | undefined }) {
  const { status } = await engine.runs.start(ada, { runId: crypto.randomUUID(), message: 'Hello', ...input })
  return status === 'queued' ? 'queued' : 'started'
}

it.each<[string, readonly [WhenBusy, ...WhenBusy[]]]>([
  ['queue', ['queue']],
  ['are refused when it is busy', ['reject']],
  ['use every policy', ['queue', 'reject', 'replace']],
])(
  '16 clients of two processes that send prompts to one session and %s each receive a start, a place or SESSION_BUSY',
  async (_name, policies) => {
    await using database = await openDatabase()
    await using first = await openProcess(database)
    await using second = await openProcess(database)
    const engines = [first.engine, second.engine] as const
    const outcomes = new Outcomes()
    const send = async (client: number) => {
      for (let prompt = 0; prompt < promptsPerClient; prompt++) {
        const whenBusy = policies[(client + prompt) % policies.length]
        await outcomes.add(async () => await startOne(engines[client % 2 === 0 ? 0 : 1], { sessionId, whenBusy }))
      }
    }
    await Promise.all(Array.from({ length: clients }, async (_, client) => await send(client)))
    expect(outcomes.othersThan('started', 'queued', ...busy)).toEqual([])
    await settled(first.engine, database)
  },
  60_000,
)

it('640 prompts to one session at once are started, queued or refused as contention, and none that is refused is stored', async () => {
  await using database = await openDatabase()
  await using first = await openProcess(database)
  await using second = await openProcess(database)
  const outcomes = new Outcomes()
  await Promise.all(
    Array.from({ length: 640 }, async (_, at) => {
      const { engine } = at % 2 === 0 ? first : second
      await outcomes.add(async () => await startOne(engine, { sessionId, whenBusy: 'queue' }))
    }),
  )
  expect(outcomes.othersThan('started', 'queued', ...busy)).toEqual([])
  expect(outcomes.counts.get('SESSION_BUSY contention')).toBeGreaterThan(0)
  const stored = await database.client.db(database.databaseName).collection('runs').countDocuments()
  expect(stored).toBe((outcomes.counts.get('started') ?? 0) + (outcomes.counts.get('queued') ?? 0))
}, 60_000)

it('appends of 16 clients of two processes to one session are all stored', async () => {
  await using database = await openDatabase()
  await using first = await openProcess(database)
  await using second = await openProcess(database)
  const append = async ({ engine }: typeof first, client: number) => {
    for (let at = 0; at < promptsPerClient; at++) {
      await engine.messages.append(ada, { sessionId, role: 'user', content: `${client}.${at}` })
    }
  }
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => await append(client % 2 === 0 ? first : second, client)),
  )
  const { messageCount } = await first.engine.sessions.get(ada, sessionId)
  expect(messageCount).toBe(clients * promptsPerClient)
}, 60_000)

it('of 600 starts of one owner at once each is made and answered, or refused as too much and never made', async () => {
  await using database = await openDatabase()
  await using process = await openProcess(database)
  const { engine } = process
  const outcomes = new Outcomes()
  const flood = Promise.all(
    Array.from({ length: 600 }, async (_, at) => {
      await outcomes.add(async () => await startOne(engine, { sessionId: `session-${at}` }))
    }),
  )
  const others = Array.from(
    { length: 8 },
    async (_, at) => await startRun(engine, { owner: eve, sessionId: `s-${at}` }),
  )
  expect(await Promise.all(others)).toHaveLength(8)
  await flood
  expect(outcomes.othersThan('started', 'OVERLOADED starts', 'OVERLOADED writes')).toEqual([])
  expect(outcomes.othersThan('started')).not.toEqual([])
  await expectIdle(engine)
  expect(engine.stats().runsStarted).toBe((outcomes.counts.get('started') ?? 0) + others.length)
}, 60_000)

it('1,000 runs that end at the same moment all end as they should', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using process = await openProcess(database, echoAgent({ gate }))
  const { engine } = process
  for (let owner = 0; owner < 100; owner++) {
    const of = ownerOf({ userId: `user-${owner}`, tenantId: 'default', scopes: [] })
    await Promise.all(
      Array.from({ length: 10 }, async (_, at) => await startRun(engine, { owner: of, sessionId: `session-${at}` })),
    )
  }
  await vi.waitFor(() => expect(gate.arrivals).toBe(1_000), waitOptions)
  gate.open()
  await expectIdle(engine)
  expect(engine.stats().runsEnded).toMatchObject({ completed: 1_000 })
}, 90_000)
