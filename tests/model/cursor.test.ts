/**
 * Every place of every log: what a cursor yields is what lies past it, wherever it points (between entries or inside one) and
 * wherever the events are (log, archive, or half-way between the two). Holds P2.
 */
import { fromCursor, isVerbatimError, lastSeqOf, toCursor } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { RunKey, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { budget } from './budget.ts'
import {
  agentId,
  anySignal,
  longMs,
  metrics,
  owner,
  readPages,
  terminalEvent,
  textContent,
  textDelta,
} from './log-world.ts'

let database: TestDatabase
let engine: Engine
beforeAll(async () => {
  database = await openDatabase()
  engine = openEngine(database, { agents: [pacedAgent([], { id: agentId })], options: { startWaitMs: 100 } })
})
afterAll(async () => {
  await engine.close()
  await database[Symbol.asyncDispose]()
})

interface LogShape {
  /** Events of each entry between the first and the last one. */
  readonly entries: readonly number[]
  /** Events that are stored with the terminal one. */
  readonly before: number
  readonly where: 'open' | 'log' | 'archive' | 'both'
  /** Of a log that is being emptied: which entries are still there. Repeated as needed; the last one always is. */
  readonly left: readonly boolean[]
}

const shape: fc.Arbitrary<LogShape> = fc.record({
  entries: fc.oneof(
    { weight: 3, arbitrary: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 6 }) },
    // More than one batch of an archive.
    { weight: 1, arbitrary: fc.array(fc.integer({ min: 30, max: 70 }), { minLength: 3, maxLength: 5 }) },
  ),
  before: fc.nat(2),
  where: fc.constantFrom('open', 'log', 'archive', 'both'),
  left: fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
})

interface StoredLog {
  readonly runId: string
  readonly key: RunKey
  readonly events: readonly RunEvent[]
  readonly isEnded: boolean
}

let words = 0
const newEvents = (count: number) => Array.from({ length: count }, () => textDelta(`word ${++words} `))

async function store({ entries, before, where, left }: LogShape): Promise<StoredLog> {
  const { runRepository, eventLog } = database.storage
  const ids = { runId: crypto.randomUUID(), sessionId: crypto.randomUUID(), agentId }
  const messages = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const processId = 'process-0'
  const startedAt = new Date(0).toISOString()
  const started = await runRepository.startRun(owner, {
    ...ids,
    ...messages,
    processId,
    prompt: textContent('go'),
    inputHash: 'hash',
    leaseMs: longMs,
    startedEvent: { type: 'run_started', ...ids, ...messages, startedAt },
    queuedEvent: { type: 'run_queued', ...ids, queuedAt: startedAt },
    whenBusy: 'reject',
    maxQueuedRuns: 1,
  })
  if (started.type !== 'started') throw new Error('The run is not new')
  const { owned } = started
  const { key } = owned
  const events: RunEvent[] = [{ type: 'run_started', ...ids, ...messages, startedAt }]
  const appended = entries.map((count) => {
    const entry = { key, owner, firstSeq: events.length + 1, batchId: crypto.randomUUID(), events: newEvents(count) }
    events.push(...entry.events)
    return entry
  })
  if (appended.length > 0) await eventLog.append(appended, { signal: anySignal() })
  if (where === 'open') return { runId: ids.runId, key, events, isEnded: false }
  const end = {
    status: 'completed',
    seq: events.length + before + 1,
    batchId: crypto.randomUUID(),
    event: terminalEvent('completed', messages.messageId),
    before: newEvents(before),
    content: textContent('done'),
    metrics,
    error: null,
  } as const
  await runRepository.finishRun(owned, end, {
    holder: { processId, leaseMs: longMs, agentIds: [] },
    signal: anySignal(),
  })
  events.push(...end.before, end.event)
  if (where !== 'log') await archive(key, where === 'both' ? left : undefined)
  return { runId: ids.runId, key, events, isEnded: true }
}

/** @param left which entries are put back, as if a process had died while it emptied the log */
async function archive(key: RunKey, left: readonly boolean[] | undefined): Promise<void> {
  const log = database.client.db(database.databaseName).collection('run_events')
  const all = await log.find({ '_id.r': key }).sort({ _id: 1 }).toArray()
  await database.storage.eventLog.archive([key], { expiresAt: new Date('2100-01-01') })
  const kept = all.slice(0, -1).filter((_, at) => left?.[at % left.length])
  if (kept.length > 0) await log.insertMany(kept)
}

/** All cursors of a short log; of a long one those at which something changes, and some between. */
function cursorsOf({ events }: StoredLog): number[] {
  const all = Array.from({ length: events.length + 1 }, (_, at) => at)
  if (all.length <= 40) return all
  return all.filter((at) => at % 13 === 0 || at % 128 < 2 || at % 128 === 127 || at > events.length - 4)
}

async function follow({ runId, events, isEnded }: StoredLog, after: number): Promise<RunEvent[]> {
  const got: RunEvent[] = []
  if (!isEnded && after === events.length) return got // there it waits
  for await (const batch of engine.runs.follow(owner, runId, { after: toCursor(runId, after), signal: anySignal() })) {
    expect(batch.firstSeq).toBe(after + got.length + 1)
    got.push(...batch.events)
    if (!isEnded && lastSeqOf(batch) >= events.length) break
  }
  return got
}

async function expectEveryCursor(log: StoredLog, maxBatches: number): Promise<void> {
  await Promise.all(
    cursorsOf(log).map(async (after) => {
      const rest = log.events.slice(after)
      expect(await readPages(database, log.key, { after, maxBatches })).toEqual(rest)
      expect(await follow(log, after)).toEqual(rest)
    }),
  )
}

async function expectNothingBehind(log: StoredLog, by: number): Promise<void> {
  const after = log.events.length + by
  expect(await database.storage.eventLog.read(log.key, { after, maxBatches: 10 })).toEqual([])
  await expect(
    engine.runs.follow(owner, log.runId, { after: toCursor(log.runId, after), signal: anySignal() }).next(),
  ).rejects.toMatchObject({
    code: 'INVALID_CURSOR',
  })
}

it(
  'a follow from every cursor yields exactly what comes after it, however little is read at once',
  async () => {
    const maxBatches = fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constant(64))
    const property = fc.asyncProperty(shape, maxBatches, fc.integer({ min: 1, max: 200 }), async (made, most, by) => {
      const log = await store(made)
      await expectEveryCursor(log, most)
      await expectNothingBehind(log, by)
      if (made.where === 'open') return
      // Once more, whatever was left: archiving ends what another process began.
      await archive(log.key, undefined)
      await expectEveryCursor(log, most)
    })
    await expect(fc.assert(property, budget(2).runs)).resolves.toBeUndefined()
  },
  budget(2).timeout,
)

it(
  'a follow from every cursor of an archive in several parts yields exactly what comes after it',
  async () => {
    // Just under what a part holds, so that every entry is a part of its own or shares one.
    const sizes = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 4 })
    const property = fc.asyncProperty(sizes, async (entries) => {
      const log = await storeBig(entries)
      for (const after of cursorsOf(log)) {
        expect(await textsFrom(log.key, after)).toEqual(log.texts.slice(after))
      }
    })
    await expect(fc.assert(property, budget(0.2).runs)).resolves.toBeUndefined()
  },
  budget().timeout,
)

const bigText = 'x'.repeat(1_500_000)

async function storeBig(entries: readonly number[]) {
  const { eventLog } = database.storage
  const key = eventLog.keyOf(owner, crypto.randomUUID())
  const texts: string[] = []
  for (const count of entries) {
    const firstSeq = texts.length + 1
    const own = Array.from({ length: count }, (_, at) => `${firstSeq + at} ${bigText}`)
    texts.push(...own)
    await eventLog.append([{ key, owner, firstSeq, batchId: crypto.randomUUID(), events: own.map(textDelta) }], {
      signal: anySignal(),
    })
  }
  const terminal = terminalEvent('completed', crypto.randomUUID())
  await eventLog.append([{ key, owner, firstSeq: texts.length + 1, batchId: 'end', events: [terminal] }], {
    signal: anySignal(),
  })
  await eventLog.archive([key], { expiresAt: new Date('2100-01-01') })
  const heads = texts.map(headOf)
  return { key, events: [...heads.map(textDelta), terminal], texts: [...heads, ''], runId: '', isEnded: true }
}

function headOf(text: string): string {
  return text.slice(0, 8)
}

async function textsFrom(key: RunKey, after: number): Promise<string[]> {
  const events = await readPages(database, key, { after, maxBatches: 2 })
  return events.map((event) =>
    event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? headOf(event.delta.text) : '',
  )
}

it('a cursor is read back from the wire for its own run and for no other', () => {
  const twoRuns = fc.uniqueArray(fc.uuid(), { minLength: 2, maxLength: 2 })
  const property = fc.property(twoRuns, fc.integer({ min: 0, max: maxSeq }), ([id = '', other = ''], seq) => {
    expect(fromCursor(toCursor(id, seq), id)).toEqual({ runId: id, seq })
    expect(fromCursor(toCursor(id.toUpperCase(), seq), id)).toEqual({ runId: id, seq })
    expect(codeFrom(toCursor(id, seq), other)).toBe('INVALID_CURSOR')
  })
  fc.assert(property, budget(50).runs)
})

it('a text that is no cursor is refused', () => {
  const digits = fc.string({ unit: fc.constantFrom('0', '1', '9'), maxLength: 20 })
  const written = fc.tuple(fc.uuid(), fc.oneof(fc.string({ unit: 'grapheme' }), digits, fc.integer(), fc.double()))
  const property = fc.property(written, fc.string({ unit: 'binary', maxLength: 80 }), ([id, rest], junk) => {
    const seq = String(rest)
    const isSeq = seq === String(Math.trunc(Number(seq))) && Number(seq) >= 0 && Number(seq) <= maxSeq
    expect(codeFrom(`${id}:${seq}`, id)).toBe(isSeq ? undefined : 'INVALID_CURSOR')
    for (const text of [junk, `${junk} ${id}:1`, `${id}:1${junk || ' '}.`, `${id};${junk}`]) {
      expect(codeFrom(text, id)).toBe('INVALID_CURSOR')
    }
  })
  fc.assert(property, budget(50).runs)
})

/** The largest seq that a cursor can tell. */
const maxSeq = 999_999_999_999_999

/** What a cursor is refused with; undefined when it is taken. */
function codeFrom(text: string, runId: string): string | undefined {
  try {
    fromCursor(text, runId)
    return undefined
  } catch (error) {
    return isVerbatimError(error) ? error.code : 'not one of ours'
  }
}
