/** The end of runs that never began: one event and no messages, because a prompt that was never asked is not history. */
import type { ClientSession } from 'mongodb'
import type { RunId } from '../../contract/identifiers.ts'
import { noMetrics } from '../../contract/metrics.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Run } from '../../contract/run.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import { attachmentsOf, releaseAttachments } from '../attachments/remove-attachments.ts'
import type { Collections } from '../schema/collections.ts'
import { toEventsDocument, toRun } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { known, newer, newerDocument, requireKnown } from '../schema/version.ts'

/** Seq of the event after `run_queued`: the run begins with it or ends with it, and the key decides which. */
const secondSeq = 2

interface Cancellation {
  readonly runId: RunId
  /** The same for every attempt: tells that an earlier one, whose answer was lost, has ended the run. */
  readonly batchId: string
}

/** One attempt; undefined when the run does not wait (any more). */
export async function cancelQueuedRun(
  storage: MongoContext,
  owner: Owner,
  { runId, batchId }: Cancellation,
): Promise<Run | undefined> {
  const { runs, runEvents, sessions } = storage.collections
  const key = runKeyOf(owner, runId)
  const run = await runs.findOne({ _id: key })
  if (run?.status === 'queued') {
    requireKnown(run)
    const now = storage.clock.now()
    await tryTransition(storage.client, async (session) => {
      const update = { $pull: { queue: runId }, $inc: { rev: 1 }, $set: { updatedAt: now } }
      const left = await sessions.updateOne({ _id: run.s, queue: runId, ...known }, update, { session })
      if (left.matchedCount === 0) throw new AbortTransition()
      await endQueuedRuns(storage.collections, [{ key, batchId }], { now, session })
    })
  }
  const ending = await runEvents.findOne({ _id: { r: key, n: secondSeq } }, { projection: { b: 1 } })
  const ended = ending?.b === batchId ? await runs.findOne({ _id: key }) : null
  return ended === null ? undefined : toRun(ended)
}

/** Ends runs that wait; the transaction takes them out of their session's queue. */
export async function endQueuedRuns(
  collections: Collections,
  ended: readonly { readonly key: RunKey; readonly batchId: string }[],
  { now, session }: { now: Date; session: ClientSession },
): Promise<void> {
  if (ended.length === 0) return
  const { runs, runEvents } = collections
  const _id = { $in: ended.map((run) => run.key) }
  const named = { _id, attachments: { $exists: true } } as const
  const waiting = await runs.find(named, { session, projection: { attachments: 1 } }).toArray()
  await releaseAttachments(collections, attachmentsOf(waiting), { now, session })
  const stopped = await runs.updateMany(
    { _id, status: 'queued', ...known },
    {
      $set: {
        status: 'cancelled',
        cancelRequestedAt: now,
        lastSeq: secondSeq,
        metrics: noMetrics,
        endedAt: now,
        toArchive: true,
      },
      $unset: { prompt: true, input: true, attachments: true },
    },
    { session },
  )
  if (stopped.matchedCount < ended.length && (await runs.findOne({ _id, ...newer }, { session })) !== null) {
    throw newerDocument()
  }
  const events = ended.map(({ key, batchId }) => ({
    key,
    firstSeq: secondSeq,
    batchId,
    events: [{ type: 'run_cancelled' as const, messageId: null, metrics: noMetrics }],
  }))
  await runEvents.insertMany(events.map(toEventsDocument), { session })
}
