import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { RepeatedRun, StartOutcome } from '../ports/run-repository.ts'
import { toOwnedRun } from './documents.ts'
import { isDuplicateKey } from './map-error.ts'
import type { MongoContext } from './mongo-context.ts'
import { runKeyOf, sessionKeyOf } from './owner-keys.ts'
import { busyError } from './session-head.ts'
import { findStarted, insertRun, newRunDocument } from './start-run.ts'
import type { NewRunDocument } from './start-run.ts'
import { inTransaction } from './transaction.ts'

type Retry = RepeatedRun & { readonly startId: string }

/** Thrown inside the transaction to undo it: the session is busy, or has gone on. */
class NotFreeError extends Error {}

/** One attempt; safe to repeat with the same `startId`. */
export async function retryRun(storage: MongoContext, owner: Owner, retry: Retry): Promise<StartOutcome> {
  const { runs, sessions } = storage.collections
  // What the retried run goes on from, this one does: a chain's budget is not filled up by asking again.
  const retried = await runs.findOne(
    { _id: runKeyOf(owner, retry.retries) },
    { projection: { continues: 1, chain: 1 } },
  )
  const { continues, chain } = retried ?? {}
  const seed = { ...retry, ...(continues && { continues }), ...(chain && { chain }) }
  const run = newRunDocument(owner, seed, storage.clock.now())
  try {
    await inTransaction(storage.client, (session) => storeRetry(storage, { owner, retry, run }, session))
    return { type: 'started', owned: toOwnedRun(run) }
  } catch (error) {
    if (!(error instanceof NotFreeError) && !isDuplicateKey(error)) throw error
  }
  const started = await findStarted(runs, owner, retry)
  if (started !== undefined) return started
  throw (await busyError(sessions, owner, retry.sessionId)) ?? new VerbatimError('RUN_NOT_RETRYABLE')
}

async function storeRetry(
  { collections }: MongoContext,
  { owner, retry, run }: { owner: Owner; retry: Retry; run: NewRunDocument },
  session: ClientSession,
): Promise<void> {
  const { sessions, messages } = collections
  const s = sessionKeyOf(owner, retry.sessionId)
  const [newest] = await messages.find({ s, b: 'main' }, { session }).sort({ seq: -1 }).limit(1).toArray()
  if (newest?.role !== 'assistant' || newest.runId !== retry.retries) throw new NotFreeError()
  const claimed = await sessions.updateOne(
    { _id: s, activeRunId: null, head: newest.seq },
    { $set: { activeRunId: retry.runId, updatedAt: run.createdAt } },
    { session },
  )
  if (claimed.matchedCount === 0) throw new NotFreeError()
  await insertRun(collections, { run, firstEvent: retry.firstEvent }, session)
}
