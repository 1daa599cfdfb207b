import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../../contract/errors.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RepeatedRun, StartOutcome } from '../../ports/run-repository.ts'
import type { Collections, MessageDocument } from '../schema/collections.ts'
import { toOwnedRun } from '../schema/documents.ts'
import { insertRun, newRunDocument } from './insert-run.ts'
import type { NewRunDocument } from './insert-run.ts'
import { isDuplicateKey, NotCommittedYetError } from '../driver/map-error.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { busyError, notDeleted } from './session-head.ts'
import { outcomeOfFound } from './start-run.ts'
import { inTransaction } from '../driver/transaction.ts'

type Retry = RepeatedRun & { readonly startId: string }

/** Thrown inside the transaction to undo it: the session is busy, or has gone on. */
class NotFreeError extends Error {}

/** One attempt; safe to repeat with the same `startId`. */
export async function retryRun(storage: MongoContext, owner: Owner, retry: Retry): Promise<StartOutcome> {
  const { runs } = storage.collections
  // What the retried run goes on from, this one does: a chain's budget is not filled up by asking again.
  const retried = await runs.findOne(
    { _id: runKeyOf(owner, retry.retryOf) },
    { projection: { continuationOf: 1, continuationUsage: 1 } },
  )
  const { continuationOf, continuationUsage } = retried ?? {}
  const seed = { ...retry, ...(continuationOf && { continuationOf }), ...(continuationUsage && { continuationUsage }) }
  const lease = { processId: retry.processId, ms: retry.leaseMs }
  const run = { ...newRunDocument(owner, seed, storage.clock.now()), lease }
  try {
    await inTransaction(storage.client, (session) => storeRetry(storage, { owner, retry, run }, session))
    return { type: 'started', owned: toOwnedRun(run) }
  } catch (error) {
    if (!(error instanceof NotFreeError) && !isDuplicateKey(error)) throw error
  }
  return await whyNotRetried(storage, owner, retry)
}

/** What the transaction has met may not be majority-committed yet, and so not be seen here: then it is tried again. */
async function whyNotRetried({ collections }: MongoContext, owner: Owner, retry: Retry): Promise<StartOutcome> {
  const { runs, sessions, messages } = collections
  const busy = await busyError(sessions, owner, retry.sessionId)
  const found = await runs.findOne({ _id: runKeyOf(owner, retry.runId) })
  if (found !== null) return outcomeOfFound(found, retry)
  if (busy?.data.activeRunId === retry.runId) throw new NotCommittedYetError()
  if (busy !== undefined) throw busy
  const newest = await newestMessage(messages, sessionKeyOf(owner, retry.sessionId))
  throw newest?.runId === retry.retryOf ? new NotCommittedYetError() : new VerbatimError('RUN_NOT_RETRYABLE')
}

async function storeRetry(
  { collections }: MongoContext,
  { owner, retry, run }: { owner: Owner; retry: Retry; run: NewRunDocument },
  session: ClientSession,
): Promise<void> {
  const { sessions, messages } = collections
  const s = sessionKeyOf(owner, retry.sessionId)
  const newest = await newestMessage(messages, s, session)
  if (newest?.role !== 'assistant' || newest.runId !== retry.retryOf) throw new NotFreeError()
  const claimed = await sessions.updateOne(
    { _id: s, ...notDeleted, activeRunId: null, head: newest.seq },
    { $set: { activeRunId: retry.runId, updatedAt: run.createdAt } },
    { session },
  )
  if (claimed.matchedCount === 0) throw new NotFreeError()
  await insertRun(collections.runs, run, session)
  const entry = { _id: { r: run._id, n: 1 }, b: retry.startId, e: [retry.startedEvent] }
  await collections.runEvents.insertOne(entry, { session })
}

async function newestMessage(
  messages: Collections['messages'],
  s: SessionKey,
  session?: ClientSession,
): Promise<MessageDocument | undefined> {
  const options = session === undefined ? {} : { session }
  const [newest] = await messages.find({ s, b: 'main' }, options).sort({ seq: -1 }).limit(1).toArray()
  return newest
}
