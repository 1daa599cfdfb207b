/**
 * Group commit with a log whose calls take any order of time: appends that are late, refused, or done without an answer, reads
 * that are old when they arrive, agents that speak in between. Whatever a follower sees is stored, once and in order (P1, P2),
 * and every run ends (P3) as one message that equals what was streamed (P4).
 */
import { isTerminalEvent, textOf, toCursor, VerbatimError } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { Agent, EventLog, Engine, EngineOptionsInput } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { answerOf, turn } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { budget } from './budget.ts'
import { textOfLog } from './log-model.ts'
import { agentId, owner, readPages } from './log-world.ts'

let database: TestDatabase
beforeAll(async () => void (database = await openDatabase()))
afterAll(async () => await database[Symbol.asyncDispose]())

/** What becomes of one append: nothing odd, not done, or done without an answer; at once, or when the others let it. */
interface Fate {
  readonly type: 'answered' | 'refused' | 'lost'
  readonly isLate: boolean
}

const atOnce: Fate = { type: 'answered', isLate: false }

interface Schedule {
  readonly scheduler: fc.Scheduler
  /** For each append in turn; after the last all are answered. */
  readonly fates: readonly Fate[]
  /** After so many steps a second follower comes to each run. */
  readonly steps: number
}

/** The caller waits here until the scheduler releases it, before or after other callers. */
async function pause(scheduler: fc.Scheduler, label: string): Promise<void> {
  await scheduler.schedule(Promise.resolve(), label)
}

/** Calls that the database is at work on. */
const inFlight = new Set<Promise<unknown>>()

async function tracked<TResult>(call: Promise<TResult>): Promise<TResult> {
  inFlight.add(call)
  try {
    return await call
  } finally {
    inFlight.delete(call)
  }
}

/** One step at a time: the next one comes when what this one made the writer do is done, so that no agent races the database. */
async function oneStep(step: () => Promise<void>): Promise<void> {
  await step()
  await turn()
  await Promise.allSettled(inFlight)
  await turn()
}

function scheduledLog(log: EventLog, { scheduler, fates }: Schedule): EventLog {
  let appends = 0
  return {
    ...log,
    async append(entries, options) {
      const { type, isLate } = fates[appends++] ?? atOnce
      count(`append: ${type}, of ${entries.length > 1 ? 'several runs' : 'one run'}`)
      if (isLate) await pause(scheduler, 'append is asked')
      if (type === 'refused') throw new VerbatimError('UNAVAILABLE')
      const outcomes = await tracked(log.append(entries, options))
      if (isLate) await pause(scheduler, 'append is answered')
      if (type === 'lost') throw new VerbatimError('UNAVAILABLE')
      return outcomes
    },
    read: async (key, options) => await scheduledRead(log, scheduler).read(key, options),
    readNext: async (positions) => await scheduledRead(log, scheduler).readNext(positions),
  }
}

/** What was read may be old by the time it arrives. */
function scheduledRead(log: EventLog, scheduler: fc.Scheduler): EventLog {
  return {
    ...log,
    async read(key, options) {
      const batches = await tracked(log.read(key, options))
      await pause(scheduler, 'read is answered')
      return batches
    },
    async readNext(positions) {
      const grown = await tracked(log.readNext(positions))
      await pause(scheduler, 'look is answered')
      return grown
    },
  }
}

const tally = new Map<string, number>()

function count(what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1)
}

/** Runs without a writer end soon; a busy machine may lose one by chance, and it has to end well all the same. */
const shortestLeases = {
  heartbeatMs: 50,
  selfFenceMs: 300,
  leaseMs: 400,
  recoveryMs: 20,
  pollMs: 20,
  maxRingBytes: 500,
}

interface Speech {
  readonly runId: string
  readonly words: readonly string[]
}

function speaker(speeches: readonly Speech[], scheduler: fc.Scheduler): Agent {
  return {
    id: agentId,
    async *stream({ runId }) {
      const words = speeches.find((speech) => speech.runId === runId)?.words ?? []
      for (const event of answerOf(words)) {
        await pause(scheduler, 'the agent speaks')
        yield event
      }
    },
  }
}

interface Follower {
  readonly after: number
  readonly events: RunEvent[]
}

/** Follows to the end; what it has seen is looked at by others meanwhile. */
async function follow(engine: Engine, runId: string, { after, events }: Follower): Promise<void> {
  const key = database.storage.eventLog.keyOf(owner, runId)
  for await (const batch of engine.runs.follow(owner, runId, {
    after: toCursor(runId, after),
    signal: AbortSignal.timeout(60_000),
  })) {
    const seq = after + events.length
    expect(batch.firstSeq).toBe(seq + 1)
    const stored = await readPages(database, key, { after: seq, maxBatches: 100 })
    expect(stored.slice(0, batch.events.length)).toEqual(batch.events)
    events.push(...batch.events)
  }
}

/** One follower from the start, and one that comes after `steps`, with the cursor that the first one has by then. */
async function followTwice(engine: Engine, runId: string, schedule: Schedule): Promise<Follower[]> {
  const first: Follower = { after: 0, events: [] }
  const following = follow(engine, runId, first)
  for (let step = 0; step < schedule.steps; step++) await pause(schedule.scheduler, 'a caller comes')
  const second: Follower = { after: first.events.length, events: [] }
  await Promise.all([following, follow(engine, runId, second)])
  return [first, second]
}

async function expectEnded({ runId, words }: Speech, seen: readonly Follower[]): Promise<void> {
  const { eventLog, runRepository, sessionRepository } = database.storage
  const log = await readPages(database, eventLog.keyOf(owner, runId), { after: 0, maxBatches: 100 })
  for (const { after, events } of seen) expect(events).toEqual(log.slice(after))
  expect(log.filter(isTerminalEvent)).toHaveLength(1)
  expect(log.at(-1)).toSatisfy(isTerminalEvent)
  const said = words.join('')
  expect(said.startsWith(textOfLog(log))).toBe(true)
  const run = await runRepository.getRun(owner, runId)
  count(`ended: ${run?.status}`)
  if (run?.status === 'completed') expect(textOfLog(log)).toBe(said)
  const messages = await sessionRepository.listMessages(owner, runId, { order: 'oldest', limit: 10 })
  expect(messages.items.map(({ role, content }) => [role, textOf(content)])).toEqual([
    ['user', 'go'],
    ['assistant', textOfLog(log)],
  ])
}

/** Two processes: the first one writes all runs, both follow each of them. */
async function speakAll(schedule: Schedule, speeches: readonly Speech[]): Promise<void> {
  const { scheduler } = schedule
  const agents = [speaker(speeches, scheduler)]
  const open = (options: EngineOptionsInput, log: (real: EventLog) => EventLog) =>
    openEngine(database, {
      agents,
      options: { ...shortestLeases, ...options },
      wrap: ({ eventLog }) => ({ eventLog: log(eventLog) }),
    })
  // Only the other one takes over, and holds what it took while the scheduler lets its reads wait.
  const writer = open({ recoveryMs: 600_000 }, (log) => scheduledLog(log, schedule))
  const other = open({ leaseMs: 10_000 }, (log) => scheduledRead(log, scheduler))
  try {
    const followed = speeches.map(async ({ runId }) => {
      await writer.runs.start(owner, { runId, sessionId: runId, message: 'go' })
      const seen = await Promise.all([writer, other].map(async (engine) => await followTwice(engine, runId, schedule)))
      return seen.flat()
    })
    const seen = await scheduler.waitFor(Promise.all(followed))
    for (const [at, speech] of speeches.entries()) await expectEnded(speech, seen[at] ?? [])
  } finally {
    await scheduler.waitFor(Promise.all([writer.close(), other.close()]))
  }
}

it(
  'group commit shows nothing that is not stored, in any order of late, refused and unanswered writes',
  async ({ annotate }) => {
    const type = fc.oneof(
      { weight: 6, arbitrary: fc.constant<Fate['type']>('answered') },
      { weight: 1, arbitrary: fc.constantFrom<Fate['type']>('refused', 'lost') },
    )
    const fates = fc.array(fc.record({ type, isLate: fc.boolean() }), { maxLength: 60, size: 'max' })
    const lengths = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4, size: 'max' })
    const steps = fc.nat(12)
    const shapes = fc.noBias(fc.record({ fates, lengths, steps }))
    const property = fc.asyncProperty(shapes, fc.scheduler({ act: oneStep }), async (shape, scheduler) => {
      const speeches = shape.lengths.map((length, run) => ({
        runId: crypto.randomUUID(),
        words: Array.from({ length }, (_, at) => `run ${run} word ${at} `),
      }))
      await speakAll({ scheduler, fates: shape.fates, steps: shape.steps }, speeches)
    })
    await expect(fc.assert(property, budget().runs)).resolves.toBeUndefined()
    await annotate([...tally].map(([what, times]) => `${what}: ${times}`).join('\n'))
  },
  budget().timeout,
)
