/**
 * A start in a busy session: the run is stored with its prompt and waits. The session's `queue` is the order, so admission
 * is first come, first served by the order of commits, whatever the clocks say. Holds P5: nobody overtakes.
 */
import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../../contract/errors.ts'
import type { Owner } from '../../contract/principal.ts'
import type { QueuedStart } from '../../ports/run-repository.ts'
import { toOwnedRun, toRun } from '../schema/documents.ts'
import { insertRun, newRunDocument } from './insert-run.ts'
import type { NewRunDocument, Start } from './insert-run.ts'
import { isDuplicateKey, NotCommittedYetError } from '../driver/map-error.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { notDeleted } from './session-head.ts'
import { keysOfRuns, stopRuns } from './stop-runs.ts'
import { inTransaction } from '../driver/transaction.ts'

interface Waiting {
  readonly owner: Owner
  readonly start: Start
  readonly run: NewRunDocument
}

/**
 * One attempt to queue `start`, behind all others or in their place. Undefined when the session is idle: it may be started
 * then.
 *
 * @throws VerbatimError `SESSION_BUSY` when as many wait as may
 */
export async function queueRun(storage: MongoContext, owner: Owner, start: Start): Promise<QueuedStart | undefined> {
  const now = storage.clock.now()
  const run: NewRunDocument = { ...newRunDocument(owner, start, now), status: 'queued', prompt: [...start.prompt] }
  const waiting = { owner, start, run }
  const queue = start.whenBusy === 'replace' ? takePlace : joinQueue
  try {
    return await inTransaction(storage.client, (session) => queue(storage, waiting, session))
  } catch (error) {
    throw isDuplicateKey(error) ? new NotCommittedYetError() : error
  }
}

async function joinQueue(
  storage: MongoContext,
  waiting: Waiting,
  session: ClientSession,
): Promise<QueuedStart | undefined> {
  const { start, run } = waiting
  const { sessions } = storage.collections
  const joined = await sessions.findOneAndUpdate(
    {
      _id: run.s,
      ...notDeleted,
      activeRunId: { $ne: null },
      $expr: { $lt: [{ $size: { $ifNull: ['$queue', []] } }, start.maxQueuedRuns] },
    },
    { $push: { queue: run.id }, $set: { updatedAt: run.createdAt } },
    { session, projection: { _id: 1 } },
  )
  if (joined === null) {
    const full = await sessions.findOne(
      { _id: run.s, ...notDeleted },
      { session, projection: { activeRunId: 1, queue: 1 } },
    )
    // The run is one of them, which the look before could not see yet.
    if (full?.activeRunId === run.id || full?.queue?.includes(run.id)) throw new NotCommittedYetError()
    if (full?.activeRunId) throw queueFull(full.activeRunId, start.maxQueuedRuns)
    return undefined
  }
  await storeWaiting(storage, waiting, session)
  return { key: run._id, run: toRun(run), replaced: [], next: undefined }
}

/** Ends those that wait, asks the running one to stop, and comes next: of two at once the later one replaces the other. */
async function takePlace(
  storage: MongoContext,
  waiting: Waiting,
  session: ClientSession,
): Promise<QueuedStart | undefined> {
  const { start, run } = waiting
  const { sessions } = storage.collections
  const before = await sessions.findOneAndUpdate(
    { _id: run.s, ...notDeleted, activeRunId: { $ne: null } },
    { $set: { queue: [run.id], updatedAt: run.createdAt } },
    { session, returnDocument: 'before' },
  )
  if (before === null) return undefined
  const replaced = keysOfRuns(waiting.owner, before)
  if (await stopRuns(storage, replaced, { now: run.createdAt, session })) {
    await storeWaiting(storage, waiting, session)
    return { key: run._id, run: toRun(run), replaced, next: undefined }
  }
  // Nothing was being said yet, so it is this run's turn at once.
  await sessions.updateOne({ _id: run.s }, { $set: { activeRunId: run.id, queue: [] } }, { session })
  const { processId, offerMs } = start.offer
  await storeWaiting(storage, { ...waiting, run: { ...run, lease: { processId, ms: offerMs } } }, session)
  return { key: run._id, run: toRun(run), replaced, next: toOwnedRun(run) }
}

async function storeWaiting(
  { collections }: MongoContext,
  { start, run }: Waiting,
  session: ClientSession,
): Promise<void> {
  await insertRun(collections.runs, run, session)
  await collections.runEvents.insertOne(
    { _id: { r: run._id, n: 1 }, b: start.startId, e: [start.queuedEvent] },
    { session },
  )
}

function queueFull(activeRunId: string, maxQueuedRuns: number): VerbatimError {
  return new VerbatimError(
    'SESSION_BUSY',
    `${maxQueuedRuns} prompts wait in this session already; wait for an answer`,
    {
      data: { activeRunId, kind: 'queue_full' },
    },
  )
}
