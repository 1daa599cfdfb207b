/**
 * Runs in MongoDB: start and end as one transaction each, leases by the database's clock, cancel as a stored intent.
 * Holds P4 (message, metrics, run state and terminal event commit together) and P5 (one writer a session).
 */
import type { ClientSession } from 'mongodb'
import type { RunId, SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { RunKey } from '../ports/event-log.ts'
import type {
  ClaimedRun,
  LeaseHolder,
  OwnedRun,
  RenewedLease,
  RunHolder,
  RunRepository,
} from '../ports/run-repository.ts'
import type { PageRequest } from '../ports/session-repository.ts'
import { cancelQueuedRun } from './transitions/cancel-queued-run.ts'
import { clearWriter } from './schema/content-cipher.ts'
import { findLinearizable, readCaughtUp } from './schema/read-barrier.ts'
import type { Collections, RunDocument } from './schema/collections.ts'
import { continueRun } from './transitions/continue-run.ts'
import { toOwnedRun, toRun } from './schema/documents.ts'
import { finishRun } from './transitions/finish-run.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { principalKeyOf, runKeyOf, sessionKeyOf } from './schema/owner-keys.ts'
import { known } from './schema/version.ts'
import { fromTimeCursor, toPage, toTimeCursor } from './driver/paging.ts'
import type { Attempt } from './driver/group-transactions.ts'
import { isWriteConflict } from './driver/map-error.ts'
import { retryRequest, tryOnce } from './driver/retry.ts'
import { createEndTurns } from './driver/take-turn.ts'
import type { TakeTurn } from './driver/take-turn.ts'
import { resumeRun } from './transitions/resume-run.ts'
import { continueAnswer, retryRun } from './transitions/retry-run.ts'
import { placeOf } from './transitions/require-room.ts'
import { startRun } from './transitions/start-run.ts'

export function createRunRepository(storage: MongoContext, takeTurn: TakeTurn): RunRepository {
  const { runs } = storage.collections
  return {
    ...createTransitions(storage, takeTurn),
    async getRun(owner, runId) {
      const found = await retryRequest(() => findRun(storage, runKeyOf(owner, runId)))
      return found === null ? undefined : toRun(found)
    },
    findOwnedRun: (owner, runId) => tryOnce(() => findOwnedRun(runs, owner, runId)),
    findStored: (keys, options) => retryRequest(() => findStored(storage, keys, options)),
    findActive: (keys) => tryOnce(() => findActive(runs, keys)),
    findHolders: (keys) => tryOnce(() => findHolders(runs, keys)),
    listRuns: (owner, sessionId, page) => listRuns(runs, { owner, sessionId }, page),
    async requestCancel(owner, runId) {
      const found = await retryRequest(() => requestCancel(storage.collections, owner, runId))
      return found === null ? undefined : toRun(found)
    },
    findCancelRequests: (processId) => tryOnce(() => findCancelRequests(runs, processId)),
    renewLeases: (owned, lease) => tryOnce(() => renewLeases(runs, owned, lease)),
    releaseLeases: (owned, processId) => retryRequest(() => releaseLeases(runs, owned, processId)),
    claimExpiredLease: (holder) => tryOnce(() => claimExpiredLease(runs, holder)),
    findRunsToArchive: (endedForMs, maxRuns) => retryRequest(() => findRunsToArchive(runs, endedForMs, maxRuns)),
    markArchived: (keys, { expiresAt }) => retryRequest(() => markArchived(runs, keys, expiresAt)),
  }
}

/** The transactions of a run; the rest of the repository are single statements. */
function createTransitions(storage: MongoContext, takeTurn: TakeTurn) {
  const { cipher } = storage
  const takeEndTurn = createEndTurns()
  return {
    async startRun(owner, run) {
      const start = { ...run, startId: crypto.randomUUID() }
      // Before anything is stored: without a key there is no start.
      const writer = await cipher.writerFor(owner)
      // Runs of one owner meet at its guard where it has limits.
      const key = principalKeyOf(owner)
      const starting = inGroup(key, (attempt) => startRun(storage, owner, { start, writer, attempt }))
      return await takeTurn({ owner, sessionId: run.sessionId }, starting)
    },
    async finishRun(owned, end, { holder, signal }) {
      const now = storage.clock.now()
      // An end without content needs no key: a run can always end.
      const hasContent = [end.content, end.before ?? [], end.data ?? []].some((part) => part.length > 0)
      const writer = hasContent ? await cipher.writerForRun(owned.owner) : clearWriter
      const finishing = inGroup(owned.key, (attempt) =>
        finishRun(storage, { owned, end, holder, now, writer, attempt }),
      )
      return await takeEndTurn(signal, finishing)
    },
    async resumeRun(owned, { signal, ...resumption }) {
      const writer = await cipher.writerForRun(owned.owner)
      return await takeEndTurn(signal, () => resumeRun(storage, owned, { ...resumption, writer }))
    },
    async continueRun(owned, end, { next, signal }) {
      const now = storage.clock.now()
      const writer = await cipher.writerForRun(owned.owner)
      return await takeEndTurn(signal, () => continueRun(storage, owned, { end, next, now, writer }))
    },
    async retryRun(owner, run) {
      const start = { ...run, startId: crypto.randomUUID() }
      await cipher.writerFor(owner) // its answer will need the key
      return await takeTurn(placeOf(owner, run), () => retryRun(storage, owner, start))
    },
    async continueAnswer(owner, run) {
      const start = { ...run, startId: crypto.randomUUID() }
      const writer = await cipher.writerFor(owner)
      return await takeTurn(placeOf(owner, run), () => continueAnswer(storage, owner, { start, writer }))
    },
    cancelQueuedRun(owner, runId) {
      const batchId = crypto.randomUUID()
      return retryRequest(() => cancelQueuedRun(storage, owner, { runId, batchId }))
    },
  } satisfies Partial<RunRepository>
}

/** So often a transition that has met another one is tried together with others again. */
const maxConflictsInGroups = 3

/**
 * The first attempt goes together with others, and so do those after a conflict: where processes start runs of one owner at once, a group takes
 * one turn at the owner's guard for all that are in it. Any other attempt goes alone.
 */
function inGroup<TResult>(
  key: string,
  attempt: (how: Attempt) => Promise<TResult>,
): (signal: AbortSignal) => Promise<TResult> {
  let isAlone = false
  let conflicts = 0
  return async (signal) => {
    const how = { signal, isAlone, key }
    isAlone = true // also when this attempt takes too long, and fails later
    try {
      return await attempt(how)
    } catch (error) {
      if (isWriteConflict(error) && ++conflicts <= maxConflictsInGroups) isAlone = false
      throw error
    }
  }
}

type Runs = Collections['runs']

async function listRuns(runs: Runs, { owner, sessionId }: { owner: Owner; sessionId: SessionId }, page: PageRequest) {
  const after = page.cursor ? fromTimeCursor(page.cursor) : undefined
  const past = after && {
    $or: [{ createdAt: { $lt: after.time } }, { createdAt: after.time, _id: { $lt: after.key as never } }],
  }
  const found = await retryRequest(() =>
    runs
      .find({ s: sessionKeyOf(owner, sessionId), ...past }, { projection: { prompt: 0, input: 0 } }) // a queued run holds its prompt
      .sort({ createdAt: -1, _id: -1 })
      .limit(page.limit + 1)
      .toArray(),
  )
  return await toPage(found, page.limit, {
    toItem: toRun,
    toCursor: (document) => toTimeCursor(document.createdAt, document._id),
  })
}

async function findRun(storage: MongoContext, _id: RunKey): Promise<RunDocument | null> {
  const { runs } = storage.collections
  return (await runs.findOne({ _id })) ?? (await readCaughtUp(storage, (session) => runs.findOne({ _id }, { session })))
}

async function findStored(
  storage: MongoContext,
  keys: readonly RunKey[],
  { isCaughtUp = false }: { isCaughtUp?: boolean } = {},
): Promise<RunKey[]> {
  const find = (session?: ClientSession) =>
    storage.collections.runs
      .find({ _id: { $in: [...keys] } }, { projection: { _id: 1 }, ...(session && { session }) })
      .toArray()
  const found = await (isCaughtUp ? readCaughtUp(storage, find) : find())
  return found.map((run) => run._id)
}

async function findActive(runs: Runs, keys: readonly RunKey[]): Promise<RunKey[]> {
  const status = { $in: ['queued', 'running'] as const }
  const found = await runs.find({ _id: { $in: [...keys] }, status }, { projection: { _id: 1 } }).toArray()
  return found.map((run) => run._id)
}

async function findHolders(runs: Runs, keys: readonly RunKey[]): Promise<RunHolder[]> {
  const running = { _id: { $in: [...keys] }, status: 'running' } as const
  const found = await runs.find(running, { projection: { 'lease.processId': 1 } }).toArray()
  return found.flatMap(({ _id: key, lease }) => (lease === undefined ? [] : [{ key, processId: lease.processId }]))
}

async function findOwnedRun(runs: Runs, owner: Owner, runId: RunId): Promise<OwnedRun | undefined> {
  const found = await runs.findOne({ _id: runKeyOf(owner, runId) }, { projection: { prompt: 0, input: 0 } })
  return found === null ? undefined : toOwnedRun(found)
}

/** The first request's time stays; a run that has ended is not touched. */
async function requestCancel(collections: Collections, owner: Owner, runId: RunId): Promise<RunDocument | null> {
  const { runs } = collections
  const _id = runKeyOf(owner, runId)
  const requested = await runs.findOneAndUpdate(
    { _id, status: 'running', ...known },
    [{ $set: { cancelRequestedAt: { $ifNull: ['$cancelRequestedAt', '$$NOW'] } } }],
    { returnDocument: 'after' },
  )
  return requested ?? (await findLinearizable(collections, () => runs.findOne({ _id })))
}

async function findCancelRequests(runs: Runs, processId: string): Promise<RunKey[]> {
  const asked = { 'lease.processId': processId, status: 'running', cancelRequestedAt: { $type: 'date' } } as const
  const found = await runs.find(asked, { projection: { _id: 1 } }).toArray()
  return found.map((run) => run._id)
}

async function renewLeases(
  runs: Runs,
  owned: readonly OwnedRun[],
  lease: { processId: string; leaseMs: number },
): Promise<RenewedLease[]> {
  const fences = new Map(owned.map((one) => [one.key, one.fence]))
  const ofThisProcess = { status: 'running', 'lease.processId': lease.processId } as const
  // A lease of 0 ms is released: a late heartbeat does not take it back.
  const mine = { _id: { $in: [...fences.keys()] }, ...ofThisProcess, ...known, 'lease.ms': { $gt: 0 } }
  await runs.updateMany(mine, { $set: { 'lease.ms': lease.leaseMs }, $currentDate: { 'lease.renewedAt': true } })
  const renewed = await runs.find(mine, { projection: { fence: 1, cancelRequestedAt: 1 } }).toArray()
  return renewed
    .filter((run) => run.fence === fences.get(run._id))
    .map((run) => ({ key: run._id, cancelRequested: run.cancelRequestedAt !== null }))
}

async function releaseLeases(runs: Runs, owned: readonly OwnedRun[], processId: string): Promise<void> {
  const mine = { _id: { $in: owned.map((run) => run.key) }, status: 'running', 'lease.processId': processId } as const
  await runs.updateMany(mine, { $set: { 'lease.ms': 0 } })
}

async function claimExpiredLease(
  runs: Runs,
  { processId, leaseMs, agentIds }: LeaseHolder,
): Promise<ClaimedRun | undefined> {
  const expiredFor = (moreMs: number) => {
    const heldMs = { $add: ['$lease.ms', moreMs] }
    return { $expr: { $lt: ['$lease.renewedAt', { $subtract: ['$$NOW', heldMs] }] } }
  }
  const claimed = await runs.findOneAndUpdate(
    {
      status: 'running',
      ...known,
      $or: [
        { agentId: { $in: [...agentIds] }, ...expiredFor(0) },
        { inlineProcessId: { $exists: true }, ...expiredFor(0) }, // no process has its agent any more
        expiredFor(leaseMs),
      ],
    },
    {
      $set: { 'lease.processId': processId, 'lease.ms': leaseMs },
      $currentDate: { 'lease.renewedAt': true },
      $inc: { fence: 1 },
    },
    { sort: { 'lease.renewedAt': 1 }, returnDocument: 'after' },
  )
  if (claimed === null) return undefined
  return { ...toOwnedRun(claimed), cancelRequested: claimed.cancelRequestedAt !== null }
}

async function findRunsToArchive(runs: Runs, endedForMs: number, maxRuns: number): Promise<RunKey[]> {
  const found = await runs
    .find(
      { toArchive: true, ...known, $expr: { $lte: ['$endedAt', { $subtract: ['$$NOW', endedForMs] }] } },
      { projection: { _id: 1 } },
    )
    .sort({ endedAt: 1 })
    .limit(maxRuns)
    .toArray()
  return found.map((run) => run._id)
}

async function markArchived(runs: Runs, keys: readonly RunKey[], expiresAt: Date): Promise<void> {
  // Once only: another process may have marked them before, and the sweeper may have been there since.
  const unmarked = { _id: { $in: [...keys] }, ...known, toArchive: true, status: { $ne: 'deleted' } } as const
  await runs.updateMany(unmarked, { $unset: { toArchive: true }, $set: { sweepAt: expiresAt } })
}
