/** The state table of the engine, row by row: each step is driven on MongoDB, twice, and what it writes is compared with its row. */
import { access, readFile } from 'node:fs/promises'
import { ownerOf } from '@verbatim/core'
import type { WhenBusy } from '@verbatim/core'
import type { NewRun, OwnedRun, RunEnd } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { BSON } from 'mongodb'
import { expect, it } from 'vitest'
import { dbOf } from '../support/deleted.ts'
import { expireLeases, openDatabase } from '../support/engine.ts'
import { noMetrics } from '../support/metrics.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
const sessionId = 'session-1'
const agentId = 'hand'
const holder = { processId: 'process-1', leaseMs: 600_000, agentIds: [agentId] }
const signal = AbortSignal.timeout(120_000)
const content = [{ type: 'text' as const, text: 'Hello' }]
const at = new Date(0).toISOString()

function newRun(whenBusy: WhenBusy = 'reject'): NewRun {
  const ids = { runId: crypto.randomUUID(), sessionId, agentId }
  const messages = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const { processId, leaseMs } = holder
  return {
    ...ids,
    ...messages,
    prompt: content,
    inputHash: 'hash',
    processId,
    leaseMs,
    startedEvent: { type: 'run_started', ...ids, ...messages, startedAt: at },
    queuedEvent: { type: 'run_queued', ...ids, queuedAt: at },
    whenBusy,
    maxQueuedRuns: 10,
  }
}

/** The end of a run whose log has `entries` entries of one event. */
function endOf({ run }: OwnedRun, entries: number): RunEnd {
  const { messageId } = run
  const common = { seq: entries + 1, batchId: crypto.randomUUID(), content, metrics: noMetrics, error: null }
  return { ...common, status: 'completed', event: { type: 'run_completed', messageId, metrics: noMetrics } }
}

function interruptionOf(owned: OwnedRun, entries: number, link: { continuedBy?: string } = {}): RunEnd {
  const error = { code: 'RUN_FENCED', message: 'lost', retryable: true, data: {} } as const
  const end = { messageId: owned.run.messageId, metrics: noMetrics, error, ...link }
  return { ...endOf(owned, entries), status: 'interrupted', error, event: { type: 'run_interrupted', ...end } }
}

/** A step that is ready to be made: with the run that it is about, if there is one. */
interface Step {
  readonly runId?: string
  readonly make: () => Promise<unknown>
}

type Arrange = (storage: TestDatabase['storage'], database: TestDatabase) => Promise<Step>

async function started({ runRepository }: TestDatabase['storage'], run = newRun()): Promise<OwnedRun> {
  const outcome = await runRepository.startRun(owner, run)
  if (outcome.type !== 'started') throw new Error(`The run is ${outcome.type}`)
  return outcome.owned
}

async function queued({ runRepository }: TestDatabase['storage']): Promise<NewRun> {
  const run = newRun('queue')
  expect((await runRepository.startRun(owner, run)).type).toBe('queued')
  return run
}

async function finished(storage: TestDatabase['storage']): Promise<OwnedRun> {
  const owned = await started(storage)
  await storage.runRepository.finishRun(owned, endOf(owned, 1), { holder, signal })
  return owned
}

/** A start of one more run, repeated with the same id. */
function startOf(storage: TestDatabase['storage'], run: NewRun): Step {
  return { runId: run.runId, make: async () => await storage.runRepository.startRun(owner, run).catch(() => {}) }
}

function textEntry(owned: OwnedRun, firstSeq: number) {
  const event = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'a' } } as const
  return { key: owned.key, owner: owned.owner, firstSeq, batchId: crypto.randomUUID(), events: [event] }
}

async function claimed(storage: TestDatabase['storage'], database: TestDatabase): Promise<OwnedRun> {
  await started(storage)
  await expireLeases(database)
  const taken = await storage.runRepository.claimExpiredLease(holder)
  if (taken === undefined) throw new Error('No lease has expired')
  return taken
}

function finishing(storage: TestDatabase['storage'], owned: OwnedRun, end = endOf(owned, 1)): Step {
  return {
    runId: owned.run.id,
    make: async () => await storage.runRepository.finishRun(owned, end, { holder, signal }),
  }
}

/** A run that has ended with three entries in its log. */
async function endedLong(storage: TestDatabase['storage']): Promise<OwnedRun> {
  const owned = await started(storage)
  await storage.eventLog.append([textEntry(owned, 2)], { signal })
  await storage.runRepository.finishRun(owned, endOf(owned, 2), { holder, signal })
  return owned
}

/** As if all that is stored were from 1970. */
async function ageAll(database: TestDatabase): Promise<void> {
  await dbOf(database)
    .collection('messages')
    .updateMany({}, { $set: { createdAt: new Date(0) } })
  await dbOf(database)
    .collection('sessions')
    .updateMany({}, { $set: { updatedAt: new Date(0) } })
}

const drivers: Record<string, Arrange> = {
  createSession: async ({ sessionRepository }) => ({
    make: async () => await sessionRepository.createSession(owner, { sessionId, title: null }),
  }),
  async appendMessage({ sessionRepository }) {
    await sessionRepository.createSession(owner, { sessionId, title: null })
    const asked = { role: 'user', content, agentId: null, metrics: null, status: 'completed' } as const
    const message = { sessionId, messageId: crypto.randomUUID(), ...asked }
    return { make: async () => await sessionRepository.appendMessage(owner, message) }
  },
  startInNewSession: async (storage) => startOf(storage, newRun()),
  async start(storage) {
    await finished(storage)
    return startOf(storage, newRun())
  },
  async refuse(storage) {
    await started(storage)
    return startOf(storage, newRun())
  },
  async queue(storage) {
    await started(storage)
    return startOf(storage, newRun('queue'))
  },
  async replace(storage) {
    await started(storage)
    await queued(storage)
    return startOf(storage, newRun('replace'))
  },
  async cancelQueued(storage) {
    await started(storage)
    const { runId } = await queued(storage)
    return { runId, make: async () => await storage.runRepository.cancelQueuedRun(owner, runId) }
  },
  async requestCancel(storage) {
    const { id: runId } = (await started(storage)).run
    return { runId, make: async () => await storage.runRepository.requestCancel(owner, runId) }
  },
  async append(storage) {
    const owned = await started(storage)
    const entry = textEntry(owned, 2)
    return { runId: owned.run.id, make: async () => await storage.eventLog.append([entry], { signal }) }
  },
  async renewLease(storage) {
    const owned = await started(storage)
    return { runId: owned.run.id, make: async () => await storage.runRepository.renewLeases([owned], holder) }
  },
  async releaseLease(storage) {
    const owned = await started(storage)
    const make = async () => await storage.runRepository.releaseLeases([owned], holder.processId)
    return { runId: owned.run.id, make }
  },
  complete: async (storage) => finishing(storage, await started(storage)),
  async decline(storage) {
    const owned = await started(storage)
    const event = { type: 'run_refused', messageId: owned.run.messageId, metrics: noMetrics } as const
    return finishing(storage, owned, { ...endOf(owned, 1), status: 'refused', event })
  },
  async fail(storage) {
    const owned = await started(storage)
    const error = { code: 'INTERNAL', message: 'failed', retryable: false, data: {} } as const
    const { messageId } = owned.run
    const event = { type: 'run_failed', messageId, metrics: noMetrics, error } as const
    return finishing(storage, owned, { ...endOf(owned, 1), status: 'failed', error, event })
  },
  async cancel(storage) {
    const owned = await started(storage)
    await storage.runRepository.requestCancel(owner, owned.run.id)
    const event = { type: 'run_cancelled', messageId: owned.run.messageId, metrics: noMetrics } as const
    return finishing(storage, owned, { ...endOf(owned, 1), status: 'cancelled', event })
  },
  async completeAndPromote(storage) {
    const owned = await started(storage)
    await queued(storage)
    return finishing(storage, owned)
  },
  async claim(storage, database) {
    const owned = await started(storage)
    await expireLeases(database)
    return { runId: owned.run.id, make: async () => await storage.runRepository.claimExpiredLease(holder) }
  },
  async resume(storage, database) {
    const owned = await claimed(storage, database)
    const event = { type: 'run_resumed', attempt: 1, resumedAt: at } as const
    const resumption = { seq: 2, batchId: crypto.randomUUID(), event, signal }
    return { runId: owned.run.id, make: async () => await storage.runRepository.resumeRun(owned, resumption) }
  },
  async interrupt(storage, database) {
    const owned = await claimed(storage, database)
    await storage.eventLog.append([textEntry(owned, 2)], { signal })
    return finishing(storage, owned, interruptionOf(owned, 2))
  },
  async continue(storage, database) {
    const owned = await claimed(storage, database)
    const continuationUsage = { continuations: 1, outputTokens: 0, costUsd: 0 }
    const next = { ...newRun(), continuationOf: owned.run.id, continuationUsage }
    const end = interruptionOf(owned, 1, { continuedBy: next.runId })
    return {
      runId: owned.run.id,
      make: async () => await storage.runRepository.continueRun(owned, end, { next, signal }),
    }
  },
  async retry(storage) {
    const { run } = await finished(storage)
    const again = { ...newRun(), userMessageId: run.userMessageId, retryOf: run.id }
    return { runId: again.runId, make: async () => await storage.runRepository.retryRun(owner, again) }
  },
  async continueAnswer(storage) {
    const { run } = await finished(storage)
    const rest = { ...newRun(), continuationOf: run.id }
    return { runId: rest.runId, make: async () => await storage.runRepository.continueAnswer(owner, rest) }
  },
  async archive(storage) {
    const { key, run } = await endedLong(storage)
    return { runId: run.id, make: async () => await archive(storage, key, new Date('2100-01-01')) }
  },
  async sweep(storage) {
    const { key, run } = await endedLong(storage)
    await archive(storage, key, new Date(0))
    return {
      runId: run.id,
      make: async () => await storage.deletionRepository.sweepRuns({ maxRuns: 10, signal }),
    }
  },
  async deleteSession(storage) {
    await started(storage)
    const { runId } = await queued(storage)
    return { runId, make: async () => await storage.deletionRepository.storeTombstone(owner, sessionId) }
  },
  async expireSession(storage, database) {
    await finished(storage)
    await ageAll(database)
    return { make: async () => await storage.deletionRepository.expireMessages({ before: new Date(1), signal }) }
  },
  async expireTurns(storage, database) {
    await finished(storage)
    await ageAll(database)
    await finished(storage)
    return { make: async () => await storage.deletionRepository.expireMessages({ before: new Date(1), signal }) }
  },
  async beginErasure(storage) {
    await finished(storage)
    const erasure = { id: crypto.randomUUID(), requestedBy: owner }
    return { make: async () => await storage.principalRepository.beginErasure(owner, erasure) }
  },
  async erase(storage) {
    const owned = await endedLong(storage)
    const { key } = await storage.principalRepository.beginErasure(owner, {
      id: crypto.randomUUID(),
      requestedBy: owner,
    })
    const step = { lateWriteGraceMs: 600_000, onRemoved: () => Promise.resolve(), signal }
    return { runId: owned.run.id, make: async () => await storage.principalRepository.erase(key, step) }
  },
  async endErasure(storage, database) {
    await endedLong(storage)
    const { key } = await storage.principalRepository.beginErasure(owner, {
      id: crypto.randomUUID(),
      requestedBy: owner,
    })
    const step = { lateWriteGraceMs: 600_000, onRemoved: () => Promise.resolve(), signal }
    await storage.principalRepository.erase(key, step)
    // As if the time for late writes had passed.
    await dbOf(database)
      .collection('erasures')
      .updateMany({}, { $set: { settleAt: new Date(0) } })
    return { make: async () => await storage.principalRepository.erase(key, step) }
  },
  async purge(storage) {
    const { run } = await endedLong(storage)
    const tombstone = await storage.deletionRepository.storeTombstone(owner, sessionId)
    if (tombstone === undefined) throw new Error('There is no session')
    const options = { lateWriteGraceMs: 600_000, signal }
    return {
      runId: run.id,
      make: async () => await storage.deletionRepository.purgeSession(tombstone.key, options),
    }
  },
}

async function archive({ eventLog, runRepository }: TestDatabase['storage'], key: OwnedRun['key'], expiresAt: Date) {
  await eventLog.archive([key], { expiresAt })
  await runRepository.markArchived([key], { expiresAt })
}

type Snapshot = Record<string, Map<string, BSON.Document>>

const collections = ['sessions', 'messages', 'runs', 'run_events', 'run_archives', 'audit', 'erasures'] as const

async function snapshot({ client, databaseName }: TestDatabase): Promise<Snapshot> {
  const db = client.db(databaseName)
  const read = async (name: string) => {
    const documents = await db.collection(name).find().toArray()
    return [name, new Map(documents.map((document) => [BSON.EJSON.stringify(document['_id']), document]))] as const
  }
  return Object.fromEntries(await Promise.all(collections.map(read)))
}

/** Numbers of documents by collection and sign, as `runs ~`: inserted (+), updated (~), removed (-). */
type Written = Record<string, number>

function writtenBetween(before: Snapshot, after: Snapshot): Written {
  const changes = collections.flatMap((name) => {
    const [old, now] = [before[name] ?? new Map(), after[name] ?? new Map()]
    const isChanged = (key: string) => BSON.EJSON.stringify(old.get(key)) !== BSON.EJSON.stringify(now.get(key))
    return [
      [`${name} +`, [...now.keys()].filter((key) => !old.has(key)).length],
      [`${name} ~`, [...now.keys()].filter((key) => old.has(key) && isChanged(key)).length],
      [`${name} -`, [...old.keys()].filter((key) => !now.has(key)).length],
    ] as const
  })
  return Object.fromEntries(changes.filter(([, count]) => count > 0))
}

function runState({ runs }: Snapshot, key: string): string {
  return String(runs?.get(key)?.['status'] ?? 'absent')
}

function sessionState({ sessions }: Snapshot): string {
  const [session] = sessions?.values() ?? []
  if (session === undefined) return 'absent'
  if (session['deletedAt'] !== undefined) return session['purge'] === undefined ? 'purged' : 'tombstone'
  return session['activeRunId'] === null ? 'idle' : 'busy'
}

interface Row {
  readonly name: string
  /** The state before the step, and the one after it; absent in steps of a session alone. */
  readonly run: readonly string[] | undefined
  readonly session: readonly string[]
  readonly writes: Written
  readonly repeatWrites: Written
  readonly file: string
}

const mongodb = new URL('../../packages/core/src/mongodb/', import.meta.url)

async function readTable(): Promise<Row[]> {
  const lines = (await readFile(new URL('transitions/README.md', mongodb), 'utf8')).split('\n')
  const table = lines.filter((line) => line.startsWith('|')).slice(2)
  return table.map((line) => {
    const [name = '', run = '', session = '', , writes = '', , repeatWrites = '', file = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.trim())
    return {
      name,
      run: run === '' ? undefined : toStates(run),
      session: toStates(session),
      writes: toWritten(writes),
      repeatWrites: toWritten(repeatWrites),
      file: file.replaceAll('`', ''),
    }
  })
}

/** `idle → busy` are two states; `busy` stays. */
function toStates(cell: string): string[] {
  const [before = '', after = before] = cell.split(' → ')
  return [before, after]
}

/** `runs ~1, messages +2` as {@link Written}. */
function toWritten(cell: string): Written {
  if (cell === 'nothing') return {}
  return Object.fromEntries(cell.split(', ').map((one) => [one.slice(0, -1), Number(one.slice(-1))]))
}

const rows = await readTable()

it('the state table has a row for every step that this test can drive, and names files that exist', async () => {
  expect(rows.map(({ name }) => name).toSorted()).toEqual(Object.keys(drivers).toSorted())
  await Promise.all(rows.map(async ({ file }) => await access(new URL(file, mongodb))))
})

it('the state table reaches every state of a run and of a session', () => {
  const runStates = [
    'absent',
    'queued',
    'running',
    'completed',
    'refused',
    'failed',
    'cancelled',
    'interrupted',
    'deleted',
  ]
  expect(new Set(rows.flatMap(({ run }) => run ?? []))).toEqual(new Set(runStates))
  const sessionStates = ['absent', 'idle', 'busy', 'tombstone', 'purged']
  expect(new Set(rows.flatMap(({ session }) => session))).toEqual(new Set(sessionStates))
})

it.each(rows)('the step $name writes what the state table says, and so does its repeat', async ({ name, ...row }) => {
  await using database = await openDatabase()
  const { storage } = database
  const arrange = drivers[name]
  if (arrange === undefined) throw new Error(`No driver makes the step ${name}`)
  const { runId, make } = await arrange(storage, database)
  const key = BSON.EJSON.stringify(storage.eventLog.keyOf(owner, runId ?? 'none'))
  const before = await snapshot(database)
  await make()
  const after = await snapshot(database)
  await make()
  const repeated = await snapshot(database)
  expect(writtenBetween(before, after)).toEqual(row.writes)
  expect(writtenBetween(after, repeated)).toEqual(row.repeatWrites)
  expect([sessionState(before), sessionState(after)]).toEqual(row.session)
  expect(sessionState(repeated)).toBe(sessionState(after))
  if (row.run === undefined) return
  const states = [runState(before, key), runState(after, key), runState(repeated, key)]
  expect(states).toEqual([...row.run, row.run[1]])
})
