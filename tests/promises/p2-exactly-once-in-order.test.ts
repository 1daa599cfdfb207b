/** P2: from any cursor every later event once and in order, however slow, however often cut off, on whichever process. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { lastSeqOf, textOf } from '@verbatim/core'
import type { EventBatch, RunEvent } from '@verbatim/core'
import { createGate } from '@verbatim/core/testing'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, answerFrom, followAll, followBatches, waitOptions, startRun } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const words = Array.from({ length: 40 }, (_, at) => `word${at} `)

describe('exactly once, in order', () => {
  it('a follower that drops and resumes at any batch of a live run receives what an uninterrupted one receives', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent(answerOf(words), { pause: () => new Promise((go) => setTimeout(go, 5)) })]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    const runId = await startRun(first)
    const whole = followAll(first, runId)
    const resumed = Array.from({ length: 24 }, async (_, count) => {
      const before = await followBatches(count % 2 === 0 ? first : second, runId, { after: 0, count })
      const rest = await followAll(count % 3 === 0 ? second : first, runId, { after: before.seq })
      return [...before.events, ...rest]
    })
    const expected = await whole
    expect(textOf(answerFrom(expected).content)).toBe(words.join(''))
    for (const events of await Promise.all(resumed)) expect(events).toEqual(expected)
  })

  it('a follower resumes from every seq of an ended run, inside batches too, on any process', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using first = openEngine(database, { agents: [agent] })
    await using second = openEngine(database, { agents: [agent] })
    const runId = await startRun(first)
    const following = followAll(first, runId)
    for (let at = 0; at < 6; at++) {
      const committed = first.stats().eventsCommitted
      agent.yieldNext(...answerOf([`a${at}`, `b${at}`]))
      await vi.waitFor(() => expect(first.stats().eventsCommitted).toBeGreaterThanOrEqual(committed + 6), waitOptions)
    }
    agent.end()
    const expected = await following
    for (let after = 0; after <= expected.length; after++) {
      expect(await followAll(first, runId, { after })).toEqual(expected.slice(after))
      expect(await followAll(second, runId, { after })).toEqual(expected.slice(after))
    }
    for (const engine of [first, second]) {
      await expect(followAll(engine, runId, { after: expected.length + 1 })).rejects.toMatchObject({
        code: 'INVALID_CURSOR',
      })
    }
  })

  it('a follower that waits before the run starts receives all of it on any process', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent(answerOf(words))]
    const options = { startWaitMs: 60_000 }
    await using first = openEngine(database, { agents, options })
    await using second = openEngine(database, { agents, options })
    const runId = crypto.randomUUID()
    const [here, there] = [followAll(first, runId), followAll(second, runId)]
    await vi.waitFor(() => expect([first.stats().followers, second.stats().followers]).toEqual([1, 1]), waitOptions)
    await startRun(first, { runId })
    expect(await here).toEqual(await there)
    expect(answerFrom(await here).status).toBe('completed')
  })

  it('an early follower of a run that outgrows the memory at once does not wait', async () => {
    await using database = await openDatabase()
    const long = 'x'.repeat(2_000)
    const agents = [pacedAgent(answerOf(Array.from({ length: 20 }, () => long)))]
    const gate = createGate()
    const { eventLog, runRepository } = database.storage
    const lateReads = {
      ...eventLog,
      read: async (...[key, range]: Parameters<typeof eventLog.read>) => {
        await gate.pass(range.signal)
        return await eventLog.read(key, range)
      },
    }
    const firstLook = createGate()
    const seenLooks = {
      ...runRepository,
      async findStored(...asked: Parameters<typeof runRepository.findStored>) {
        const stored = await runRepository.findStored(...asked)
        firstLook.open()
        return stored
      },
    }
    await using first = openEngine(database, { agents })
    const options = { maxRingBytes: 1_000, startWaitMs: 600_000 }
    const wrap = () => ({ eventLog: lateReads, runRepository: seenLooks })
    await using second = openEngine(database, { agents, options, wrap })
    const runId = crypto.randomUUID()
    const early = followAll(second, runId)
    await firstLook.pass() // the run is not there yet
    await startRun(first, { runId })
    const expected = await followAll(first, runId)
    gate.open()
    expect(await early).toEqual(expected)
  })

  it('a follow of a run that never starts gives up and leaves nothing behind', async () => {
    await using test = await openOne({ agents: [pacedAgent([])], options: { startWaitMs: 100 } })
    await expect(followAll(test.engine, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    await expectIdle(test.engine)
  })

  it('a follower that is slower than the run receives everything from the log', async () => {
    const chunks = Array.from({ length: 200 }, (_, at) => `${at}:${'.'.repeat(1_000)};`)
    await using test = await openOne({
      agents: [pacedAgent(answerOf(chunks))],
      options: { maxRingBytes: 4_000, maxPendingBytes: 8_000 },
    })
    const { engine } = test
    const runId = await startRun(engine)
    const fast = followAll(engine, runId)
    let taken = 0
    const slow = followAll(engine, runId, {
      async onBatch(batch: EventBatch) {
        taken++
        // Takes the next batch only when the run is far ahead or over: what it wants is no longer in the ring.
        const ahead = lastSeqOf(batch) + 10
        await vi.waitUntil(
          () => engine.stats().eventsCommitted >= ahead || engine.stats().runsActive === 0,
          waitOptions,
        )
      },
    })
    expect(await slow).toEqual(await fast)
    expect(taken).toBeGreaterThan(1)
    expect(textOf(answerFrom(await slow).content)).toBe(chunks.join(''))
  })

  it('the memory of a process stays bounded while followers stand still', async () => {
    const [runs, chunkBytes, chunksPerRun] = [8, 8_192, 256]
    const chunk = 'y'.repeat(chunkBytes)
    const agent = pacedAgent(answerOf(Array.from({ length: chunksPerRun }, () => chunk)))
    await using test = await openOne({ agents: [agent], options: { maxRingBytes: 16_384 } })
    const { engine } = test
    const before = heapAfterGc()
    const followers = []
    for (let at = 0; at < runs; at++) {
      const runId = await startRun(engine, { sessionId: `session-${at}` })
      const follower = engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(60_000) })
      expect((await follower.next()).value?.firstSeq).toBe(1)
      followers.push(follower)
    }
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), { timeout: 60_000, interval: 50 })
    const grown = heapAfterGc() - before
    const streamed = runs * chunkBytes * chunksPerRun
    expect(engine.stats().followers).toBe(runs)
    expect(grown).toBeLessThan(streamed / 2)
    for (const follower of followers) {
      let length = 0
      for await (const batch of follower) length += textOf(answerFrom(onlyText(batch)).content).length
      expect(length).toBe(chunkBytes * chunksPerRun)
    }
    await expectIdle(engine)
  }, 120_000)

  it('a process stops pulling an agent whose events it cannot store fast enough, and loses none of them', async () => {
    await using database = await openDatabase()
    const gate = createGate({ isOpen: true })
    const chunk = 'z'.repeat(500)
    let pulled = 0
    const agent = pacedAgent(answerOf(Array.from({ length: 400 }, () => chunk)), {
      pause: () => Promise.resolve(void pulled++),
    })
    const { eventLog } = database.storage
    const held = {
      ...eventLog,
      append: async (...[entries, options]: Parameters<typeof eventLog.append>) => {
        await gate.pass(options.signal)
        return await eventLog.append(entries, options)
      },
    }
    gate.shut()
    const options = { maxPendingBytes: 20_000 }
    await using engine = openEngine(database, { agents: [agent], options, wrap: () => ({ eventLog: held }) })
    const runId = await startRun(engine)
    await vi.waitFor(() => expect(engine.stats().pendingBytes).toBeGreaterThan(options.maxPendingBytes), waitOptions)
    const pulledThen = pulled
    for (let turns = 0; turns < 200; turns++) await new Promise(setImmediate)
    expect(pulled).toBe(pulledThen)
    expect(pulled).toBeLessThan(50)
    expect(engine.stats().pendingBytes).toBeLessThan(options.maxPendingBytes + 4 * chunk.length)
    gate.open()
    expect(textOf(answerFrom(await followAll(engine, runId)).content)).toBe(chunk.repeat(400))
    await expectIdle(engine)
  })

  it('a follow ends at once when its reader goes away, and the run goes on', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine)
    const reader = new AbortController()
    const following = followAll(engine, runId, { signal: reader.signal })
    agent.say('still ')
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(0), waitOptions)
    const gone = new Error('The reader is gone')
    reader.abort(gone)
    await expect(following).rejects.toBe(gone)
    expect(engine.stats()).toMatchObject({ followers: 0, runsActive: 1 })
    agent.say('here')
    agent.end()
    expect(textOf(answerFrom(await followAll(engine, runId)).content)).toBe('still here')
  })
})

/** The batch's text alone, as an answer of its own. */
function onlyText(batch: EventBatch): RunEvent[] {
  const texts = batch.events.filter((event) => event.type === 'content_block_delta')
  return [{ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }, ...texts]
}

function heapAfterGc(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
