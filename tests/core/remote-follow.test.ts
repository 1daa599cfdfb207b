import { lastSeqOf, ownerOf, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { Agent, EventLog, EnginePorts } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { MongoClient } from 'mongodb'
import { describe, expect, inject, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent, textDelta, turn } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { followAll, waitOptions, startRun } from '../support/follow.ts'
import { openTestKeys } from '../support/keys.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

/** Longer than what the change stream brings along. */
const long = 'x'.repeat(20_000)
const words = ['one ', 'two ', long, ...Array.from({ length: 10 }, (_, at) => `${at} `)]

it.each(['in clear', 'sealed'])(
  'the change stream brings a follower what another process writes %s, without the poll, and only a long entry is read from the log',
  async (kind) => {
    await using keys = await openTestKeys()
    await using database = await openDatabase(kind === 'sealed' ? { keys: keys.keys } : undefined)
    const arrived = new EventTarget()
    const agent: Agent = {
      id: 'held',
      async *stream(): AsyncGenerator<AgentEvent> {
        yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
        for (const text of words) {
          // Each step is made only after the one before has arrived at the other process.
          await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
          yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
        }
        await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
        yield { type: 'content_block_stop', index: 0 }
      },
    }
    const looks: number[] = []
    const { eventLog } = database.storage
    const read: EventLog['read'] = async (key, range) => {
      looks.push(range.after)
      return await eventLog.read(key, range)
    }
    // A poll would come after the test's end: only hints can wake the follower.
    const options = { pollMs: 600_000 }
    await using writer = openEngine(database, { agents: [agent], options })
    const wrap = () => ({ eventLog: { ...eventLog, read } })
    await using reader = openEngine(database, { agents: [agent], options, wrap })
    const runId = crypto.randomUUID()
    await writer.runs.start(owner, { sessionId: 's', runId, message: 'go' })
    const events: RunEvent[] = []
    let looksAtBegin = 0
    for await (const batch of reader.runs.follow(owner, runId, { signal: AbortSignal.timeout(20_000) })) {
      events.push(...batch.events)
      if (batch.events.some((event) => textOf(event) === 'one ')) looksAtBegin = looks.length
      if (batch.events.some((event) => event.type.startsWith('content_block')))
        arrived.dispatchEvent(new Event('batch'))
    }
    expect(events.map(textOf).join('')).toBe(words.join(''))
    expect(events.map((event) => event.type)).toEqual([
      'run_started',
      'content_block_start',
      ...words.map(() => 'content_block_delta'),
      'content_block_stop',
      'run_completed',
    ])
    // The long entry, and room for a stream that a busy machine opens anew; each of the 14 batches would be one.
    const looksAfter = looks.length - looksAtBegin
    expect(looksAfter).toBeGreaterThan(0)
    expect(looksAfter).toBeLessThan(6)
  },
)

function textOf(event: RunEvent): string {
  return event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : ''
}

type RunKey = Parameters<EventLog['read']>[0]
type LogWatcher = NonNullable<EnginePorts['logWatcher']>

/** Hints come when the test gives them. */
function handWatcher() {
  const listeners = new Set<Parameters<LogWatcher['watch']>[0]>()
  const watcher: LogWatcher = {
    async watch(listener, signal) {
      listeners.add(listener)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    },
  }
  return {
    watcher,
    get isOpen() {
      return listeners.size > 0
    },
    hint(key: RunKey) {
      for (const listener of listeners) void listener.onGrowth(key)
    },
  }
}

/**
 * A run that another process writes, and a reader that hears of its growth from the test alone: the watch is open, since it
 * follows another run to its head, and no poll comes before the test's end. `onRead` sees what each look at the log brings.
 */
async function openRemote(onRead: (batches: number, after: number) => unknown) {
  const stack = new AsyncDisposableStack()
  const database = stack.use(await openDatabase())
  const { eventLog } = database.storage
  const writer = stack.use(openEngine(database, { agents: [manualAgent()] }))
  const hints = handWatcher()
  const runId = await startRun(writer)
  const key = eventLog.keyOf(owner, runId)
  const counted: EventLog = {
    ...eventLog,
    async read(read, range) {
      const batches = await eventLog.read(read, range)
      if (read === key) await onRead(batches.length, range.after)
      return batches
    },
  }
  // A memory of a few batches: a follower that is not at the end reads the log.
  const options = { pollMs: 600_000, maxRingBytes: 500 }
  const wrap = () => ({ eventLog: counted, logWatcher: hints.watcher })
  const reader = stack.use(openEngine(database, { agents: [manualAgent()], options, wrap }))
  const near = await startRun(writer, { sessionId: 'session-2' })
  const stop = new AbortController()
  stack.defer(() => stop.abort())
  followAll(reader, near, { signal: stop.signal }).catch(() => {}) // it is cut off at the test's end
  await vi.waitFor(() => expect(hints.isOpen).toBe(true), waitOptions)
  return {
    reader,
    runId,
    hint: () => hints.hint(key),
    /** Stores events of the run after `after`, a batch each. */
    async store({ after, count }: { after: number; count: number }) {
      const entries = Array.from({ length: count }, (_, at) => {
        const firstSeq = after + 1 + at
        return { key, owner, firstSeq, batchId: crypto.randomUUID(), events: [textDelta(`${firstSeq} `)] }
      })
      await eventLog.append(entries, { signal: AbortSignal.timeout(20_000) })
    },
    [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
  }
}

it('a process asks for no hints for runs that it starts itself, also where their follows come first and it is slow with the start', async () => {
  await using database = await openDatabase()
  const hints = handWatcher()
  const { runRepository } = database.storage
  let looks = 0
  const findStored: typeof runRepository.findStored = async (...asked) => {
    looks++
    return await runRepository.findStored(...asked)
  }
  const wrap = () => ({ logWatcher: hints.watcher, runRepository: { ...runRepository, findStored } })
  await using engine = openEngine(database, { agents: [pacedAgent(answerOf(['Yes']))], wrap })
  for (let nth = 0; nth < 5; nth++) {
    const runId = crypto.randomUUID()
    const following = followAll(engine, runId)
    // A second look is made because the start does not come.
    while (looks < 2) await turn()
    await engine.runs.start(owner, { sessionId: `session-${nth}`, runId, message: 'go' })
    await following
  }
  expect(hints.isOpen).toBe(false)
})

it('a follower reads what it has not seen once, however many hints come meanwhile', async () => {
  const looks: number[] = []
  await using remote = await openRemote((batches) => looks.push(batches))
  await remote.store({ after: 1, count: 1_000 })
  let seq = 0
  for await (const batch of remote.reader.runs.follow(owner, remote.runId, { signal: AbortSignal.timeout(20_000) })) {
    seq = lastSeqOf(batch)
    if (seq === 1_001) break
    remote.hint()
    await turn()
  }
  expect(looks.reduce((sum, batches) => sum + batches)).toBe(1_001)
  expect(looks.length).toBeLessThan(20)
})

it('a hint that comes between an empty read and the wait wakes the follower', async () => {
  let hasCome = false
  await using remote = await openRemote(async (batches) => {
    if (batches > 0 || hasCome) return
    hasCome = true
    await remote.store({ after: 6, count: 40 })
    remote.hint()
  })
  await remote.store({ after: 1, count: 5 })
  const seqs: number[] = []
  for await (const batch of remote.reader.runs.follow(owner, remote.runId, { signal: AbortSignal.timeout(20_000) })) {
    seqs.push(lastSeqOf(batch))
    if (seqs.length === 46) break
  }
  expect(hasCome).toBe(true)
  expect(seqs).toEqual(Array.from({ length: 46 }, (_, at) => at + 1))
})

describe('followers in a process without change streams', () => {
  const polling = { logWatcher: undefined, sessionWatcher: undefined }
  const aMoment = () => new Promise<void>((resolve) => setTimeout(resolve, 10))

  it('followers of thirty runs receive every batch, and all of them cost one read a look', async () => {
    await using database = await openDatabase()
    const { eventLog } = database.storage
    const looks: number[] = []
    let reads = 0
    const counted: EventLog = {
      ...eventLog,
      async read(key, range) {
        reads++
        return await eventLog.read(key, range)
      },
      async readNext(positions) {
        looks.push(positions.length)
        return await eventLog.readNext(positions)
      },
    }
    const steps = Array.from({ length: 10 }, () => createGate())
    const agent: Agent = {
      id: 'in-steps',
      async *stream() {
        let at = 0
        for (const event of answerOf(steps.map((_, nth) => `${nth} `))) {
          if (event.type === 'content_block_delta') await steps[at++]?.pass()
          yield event
        }
      },
    }
    await using writer = openEngine(database, { agents: [agent] })
    const options = { pollMs: 2_000 }
    await using reader = openEngine(database, {
      agents: [agent],
      options,
      wrap: () => ({ ...polling, eventLog: counted }),
    })
    expect([writer.hints(), reader.hints()]).toEqual(['change_streams', 'polls'])
    const sessionIds = Array.from({ length: 30 }, (_, at) => `session-${at}`)
    const runIds = await Promise.all(sessionIds.map(async (sessionId) => await startRun(writer, { sessionId })))
    const batchesOf = new Map<string, number>()
    const note = (runId: string) => batchesOf.set(runId, (batchesOf.get(runId) ?? 0) + 1)
    const following = runIds.map(async (runId) => await followAll(reader, runId, { onBatch: () => void note(runId) }))
    await vi.waitFor(() => expect(batchesOf.size).toBe(30), waitOptions)
    for (const step of steps) {
      const before = new Map(batchesOf)
      step.open()
      const isWithAll = () => runIds.every((runId) => (batchesOf.get(runId) ?? 0) > (before.get(runId) ?? 0))
      await vi.waitFor(() => expect(isWithAll()).toBe(true), waitOptions)
    }
    for (const events of await Promise.all(following)) expect(events.at(-1)?.type).toBe('run_completed')
    expect(Math.max(...looks)).toBeGreaterThan(20)
    // Each joins with one read or two; a batch that comes after that is none.
    expect(reads).toBeLessThan(120)
  })

  it('a follower of a run whose log has become an archive before it looked receives all of it', async () => {
    await using database = await openDatabase()
    const { eventLog } = database.storage
    const agent = manualAgent()
    await using writer = openEngine(database, { agents: [agent], options: { archiveDelayMs: 600_000 } })
    const held = createGate()
    const readNext: EventLog['readNext'] = async (positions) => {
      await held.pass()
      return await eventLog.readNext(positions)
    }
    const wrap = () => ({ ...polling, eventLog: { ...eventLog, readNext } })
    const options = { archiveDelayMs: 600_000, pollMs: 50 }
    await using reader = openEngine(database, { agents: [agent], options, wrap })
    const runId = await startRun(writer)
    agent.say('one ', 'two ')
    let last = 0
    const following = followAll(reader, runId, { onBatch: (batch) => void (last = lastSeqOf(batch)) })
    await vi.waitFor(() => expect(last).toBeGreaterThan(0), waitOptions)
    agent.say('three')
    agent.end()
    await followAll(writer, runId)
    await eventLog.archive([eventLog.keyOf(owner, runId)], { expiresAt: new Date('2100-01-01') })
    held.open()
    expect((await following).at(-1)?.type).toBe('run_completed')
  })

  it.each([13, 40_573, 8_000])(
    'a process that MongoDB refuses a change stream with code %i polls',
    async (errorCode) => {
      const uri = new URL(inject('mongoUri'))
      const appName = `no-streams-${crypto.randomUUID().slice(0, 8)}`
      uri.searchParams.set('appName', appName)
      await using database = await openDatabase()
      await using watchClient = new MongoClient(String(uri))
      const { client, databaseName } = database
      const storage = createMongoStorage({ client, watchClient, databaseName, clock: systemClock })
      await using failPoint = await holdFailPoint()
      await failPoint.set(1_000, { failCommands: ['aggregate'], errorCode, appName })
      expect(await storage.hasChangeStreams()).toBe(false)
      const { logWatcher, sessionWatcher } = storage
      const agents = [pacedAgent(answerOf(['one ', 'two ']), { pause: aMoment })]
      await using writer = openEngine(database, { agents })
      await using reader = openEngine(database, { agents, wrap: () => ({ logWatcher, sessionWatcher }) })
      const runId = await startRun(writer)
      expect((await followAll(reader, runId)).at(-1)?.type).toBe('run_completed')
      await vi.waitFor(() => expect(reader.hints()).toBe('polls'), waitOptions)
    },
  )
})
