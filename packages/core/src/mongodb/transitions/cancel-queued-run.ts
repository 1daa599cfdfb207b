/** The end of runs that never began: one event and no messages, because a prompt that was never asked is not history. */
import type { ClientSession } from 'mongodb'
import type { RunId } from '../../contract/identifiers.ts'
import { noMetrics } from '../../contract/metrics.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Run } from '../../contract/run.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { Offer, OwnedRun } from '../../ports/run-repository.ts'
import type { Collections, RunDocument } from '../schema/collections.ts'
import { toEventsDocument, toRun } from '../schema/documents.ts'
import { findOffered, advanceQueue } from './advance-queue.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { inTransaction } from '../driver/transaction.ts'

/** Seq of the event behind `run_queued`: the run begins with it or ends with it, and the key decides which. */
const secondSeq = 2

/** Ends runs that are queued; they must be. */
export async function endQueuedRuns(
  { runs, runEvents }: Collections,
  ended: readonly { readonly key: RunKey; readonly batchId: string }[],
  { now, session }: { now: Date; session: ClientSession },
): Promise<void> {
  if (ended.length === 0) return
  await runs.updateMany(
    { _id: { $in: ended.map((run) => run.key) }, status: 'queued' },
    {
      $set: {
        status: 'cancelled',
        cancelRequestedAt: now,
        lastSeq: secondSeq,
        metrics: noMetrics,
        endedAt: now,
        toArchive: true,
      },
      $unset: { prompt: true, lease: true },
    },
    { session },
  )
  const events = ended.map(({ key, batchId }) => ({
    key,
    firstSeq: secondSeq,
    batchId,
    events: [{ type: 'run_cancelled' as const, messageId: null, metrics: noMetrics }],
  }))
  await runEvents.insertMany(events.map(toEventsDocument), { session })
}

interface Cancelled {
  readonly run: Run
  readonly next: OwnedRun | undefined
}

interface Cancellation {
  readonly runId: RunId
  readonly offer: Offer
  /** The same for every attempt: tells that an earlier one, whose answer was lost, has ended the run. */
  readonly batchId: string
}

/** One attempt; undefined when the run does not wait (any more). */
export async function cancelQueuedRun(
  storage: MongoContext,
  owner: Owner,
  cancellation: Cancellation,
): Promise<Cancelled | undefined> {
  const { runs, runEvents } = storage.collections
  const key = runKeyOf(owner, cancellation.runId)
  const run = await runs.findOne({ _id: key })
  if (run?.status === 'queued') {
    const next = await inTransaction(storage.client, (session) =>
      cancelOne(storage, { owner, run, cancellation }, session),
    )
    if (next !== 'begun') return { run: toRun((await runs.findOne({ _id: key })) ?? run), next }
  }
  const ending = await runEvents.findOne({ _id: { r: key, n: secondSeq } }, { projection: { b: 1 } })
  if (run === null || ending?.b !== cancellation.batchId) return undefined
  return {
    run: toRun(run),
    next: await findOffered(storage.collections, { owner, sessionKey: run.s, offer: cancellation.offer }),
  }
}

async function cancelOne(
  { collections, clock }: MongoContext,
  { owner, run, cancellation }: { owner: Owner; run: RunDocument; cancellation: Cancellation },
  session: ClientSession,
): Promise<OwnedRun | 'begun' | undefined> {
  const now = clock.now()
  const waiting = await collections.runs.findOne({ _id: run._id, status: 'queued' }, { session })
  if (waiting === null) return 'begun'
  await endQueuedRuns(collections, [{ key: run._id, batchId: cancellation.batchId }], { now, session })
  const left = await collections.sessions.updateOne(
    { _id: run.s, queue: run.id },
    { $pull: { queue: run.id }, $set: { updatedAt: now } },
    { session },
  )
  if (left.matchedCount > 0) return undefined
  const handover = { owner, sessionKey: run.s, from: run.id, addsMessage: false, offer: cancellation.offer, now }
  return (await advanceQueue(collections, handover, session))?.next
}
