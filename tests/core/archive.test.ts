import { ownerOf, toCursor, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createEngine } from '@verbatim/core/server'
import type { Agent, RunEnd } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it, vi } from 'vitest'
import { expireLeases } from '../support/engine.ts'
import { noMetrics } from '../support/metrics.ts'

/** Far enough ahead for any clock. */
const expiresAt = new Date('2100-01-01')

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

const agent: Agent = {
  id: 'counter',
  async *stream(): AsyncGenerator<AgentEvent> {
    yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
    for (let at = 0; at < 300; at++) {
      yield { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: String(at) } }
      if (at % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    yield { type: 'content_block_stop', index: 0 }
  },
}

async function collect(engine: ReturnType<typeof createEngine>, runId: string, after = 0): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const batch of engine.runs.follow(owner, runId, {
    after: toCursor(runId, after),
    signal: AbortSignal.timeout(25_000),
  })) {
    expect(batch.firstSeq).toBe(after + events.length + 1)
    events.push(...batch.events)
  }
  return events
}

it('every cursor stays valid when an ended run is archived into one document', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const db = database.client.db(database.databaseName)
  const runId = crypto.randomUUID()
  await using writer = createEngine({ ...database.storage, agents: [agent] })
  await writer.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const streamed = await collect(writer, runId)
  expect(await db.collection('run_events').countDocuments()).toBeGreaterThan(1)

  await using archiver = createEngine({ ...database.storage, agents: [agent] }, { archiveDelayMs: 1 })
  await vi.waitFor(async () => expect(await db.collection('run_events').countDocuments()).toBe(1), { timeout: 20_000 })
  expect(await db.collection('run_archives').countDocuments()).toBe(1)
  for (const after of [0, 1, 2, 127, 128, 129, 200, streamed.length - 1, streamed.length]) {
    expect(await collect(archiver, runId, after)).toEqual(streamed.slice(after))
  }
  await expect(collect(archiver, runId, streamed.length + 1)).rejects.toMatchObject({ code: 'INVALID_CURSOR' })
})

it('a reader in the middle of a log loses nothing while the log is archived', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const db = database.client.db(database.databaseName)
  const runId = crypto.randomUUID()
  await using engine = createEngine({ ...database.storage, agents: [agent] })
  await engine.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const streamed = await collect(engine, runId)
  const key = database.storage.eventLog.keyOf(owner, runId)
  const entries = await db.collection('run_events').find().sort({ _id: 1 }).toArray()
  await database.storage.eventLog.archive([key], { expiresAt })
  // Half-way through emptying, entries are gone in any order but for the last, which stays.
  for (const isLeft of [(at: number) => at % 2 === 0, (at: number) => at % 2 === 1, () => false]) {
    await db.collection('run_events').deleteMany({})
    await db.collection('run_events').insertMany(entries.filter((_, at) => isLeft(at) || at === entries.length - 1))
    for (let after = 0; after <= streamed.length; after += 13) {
      expect(await collect(engine, runId, after)).toEqual(streamed.slice(after))
    }
  }
  // A second archiving finishes the job from any such state.
  await database.storage.eventLog.archive([key], { expiresAt })
  expect(await db.collection('run_events').countDocuments()).toBe(1)
  expect(await collect(engine, runId)).toEqual(streamed)
})

it('a zombie cannot write to an archived run', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const { eventLog } = database.storage
  const runId = crypto.randomUUID()
  await using engine = createEngine({ ...database.storage, agents: [agent] })
  await engine.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const streamed = await collect(engine, runId)
  const key = eventLog.keyOf(owner, runId)
  await eventLog.archive([key], { expiresAt })
  // To a process that slept through the takeover, the log ends where the terminal event is.
  const late = {
    key,
    owner,
    firstSeq: streamed.length,
    batchId: crypto.randomUUID(),
    events: [{ type: 'message_stop' } as const],
  }
  expect(await eventLog.append([late], { signal: AbortSignal.timeout(20_000) })).toEqual(['fenced'])
  expect(await collect(engine, runId)).toEqual(streamed)
})

it('a process that was paused before it resumed a run cannot write to the archived run', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const { eventLog, runRepository } = database.storage
  const signal = AbortSignal.timeout(20_000)
  const holder = { processId: 'process-1', leaseMs: 600_000, agentIds: ['hand'] }
  const ids = { runId: crypto.randomUUID(), sessionId: 's', agentId: 'hand', userMessageId: 'u', messageId: 'm' }
  const at = new Date(0).toISOString()
  const started = await runRepository.startRun(owner, {
    ...ids,
    ...holder,
    prompt: [{ type: 'text', text: 'go' }],
    inputHash: 'hash',
    startedEvent: { type: 'run_started', ...ids, startedAt: at },
    queuedEvent: { type: 'run_queued', runId: ids.runId, sessionId: 's', agentId: 'hand', queuedAt: at },
    whenBusy: 'reject',
    maxQueuedRuns: 1,
  })
  const key = eventLog.keyOf(owner, ids.runId)
  expect(started.type).toBe('started')
  const takeOver = async () => {
    await expireLeases(database)
    return (await runRepository.claimExpiredLease(holder))!
  }
  const paused = await takeOver()
  // The process that was lost stores what it had under way, where the paused one saw the log end.
  const stop = { type: 'message_stop' } as const
  await eventLog.append([{ key, owner, firstSeq: 2, batchId: crypto.randomUUID(), events: [stop] }], { signal })
  const end: RunEnd = {
    status: 'completed',
    seq: 3,
    batchId: crypto.randomUUID(),
    event: { type: 'run_completed', messageId: 'm', metrics: noMetrics },
    content: [],
    metrics: noMetrics,
    error: null,
  }
  await runRepository.finishRun(await takeOver(), end, { holder, signal })
  await eventLog.archive([key], { expiresAt })
  const resumed = { type: 'run_resumed', attempt: 1, resumedAt: at } as const
  const resumption = { seq: 2, batchId: crypto.randomUUID(), event: resumed, signal }
  expect(await runRepository.resumeRun(paused, resumption)).toBe('fenced')
  const batches = await eventLog.read(key, { after: 1, maxBatches: 10 })
  expect(batches.flatMap(({ events }) => events.map(({ type }) => type))).toEqual(['message_stop', 'run_completed'])
})

it('a follow tells expired events from an unknown run and still says how the run ended', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const db = database.client.db(database.databaseName)
  const runId = crypto.randomUUID()
  await using engine = createEngine({ ...database.storage, agents: [agent] }, { startWaitMs: 50 })
  await engine.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const streamed = await collect(engine, runId)
  await database.storage.eventLog.archive([database.storage.eventLog.keyOf(owner, runId)], { expiresAt })
  await db.collection('run_archives').deleteMany({})
  await expect(collect(engine, runId)).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  await expect(collect(engine, runId, 7)).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  expect(await collect(engine, runId, streamed.length)).toEqual([])
  await expect(collect(engine, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  await expect(collect(engine, crypto.randomUUID(), 7)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
})
