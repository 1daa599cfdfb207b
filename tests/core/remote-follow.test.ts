import { lastSeqOf, ownerOf, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createEngine } from '@verbatim/core/server'
import type { Agent, EventLog, EnginePorts } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it, vi } from 'vitest'
import { manualAgent, textDelta, turn } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { followAll, waitOptions, startRun } from '../support/follow.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

it('the change stream wakes a follower of a run that another process writes, without the poll', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const arrived = new EventTarget()
  const agent: Agent = {
    id: 'held',
    async *stream(): AsyncGenerator<AgentEvent> {
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      for (const text of ['one ', 'two ', 'three']) {
        // Each step is made only after the one before has arrived at the other process.
        await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
        yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      }
      await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
      yield { type: 'content_block_stop', index: 0 }
    },
  }
  // A poll would come after the test's end: only hints can wake the follower.
  const options = { pollMs: 600_000 }
  await using writer = createEngine({ ...database.storage, agents: [agent] }, options)
  await using reader = createEngine({ ...database.storage, agents: [agent] }, options)
  const runId = crypto.randomUUID()
  await writer.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const events: RunEvent[] = []
  for await (const batch of reader.runs.follow(owner, runId, { signal: AbortSignal.timeout(20_000) })) {
    events.push(...batch.events)
    if (batch.events.some((event) => event.type.startsWith('content_block'))) arrived.dispatchEvent(new Event('batch'))
  }
  expect(events.map((event) => event.type)).toEqual([
    'run_started',
    'content_block_start',
    'content_block_delta',
    'content_block_delta',
    'content_block_delta',
    'content_block_stop',
    'run_completed',
  ])
})

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
      for (const listener of listeners) listener.onGrowth(key)
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
