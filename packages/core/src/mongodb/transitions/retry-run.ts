import type { ClientSession } from 'mongodb'
import { errorOf } from '../../contract/errors.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RepeatedRun, StartOutcome } from '../../ports/run-repository.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import type { Collections, MessageDocument } from '../schema/collections.ts'
import { toOwnedRun, withTitle } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { requireKnown } from '../schema/version.ts'
import { admit, isRefusal } from './admit-run.ts'
import { requireRoomForRun } from './require-room.ts'
import { outcomeOfFound, outcomeOfRefused } from './start-run.ts'
import type { Refused } from './start-run.ts'
import { newRunDocument, storeBeginning } from './store-beginning.ts'
import type { NewRunDocument } from './store-beginning.ts'

type Retry = RepeatedRun & { readonly startId: string }

/** One attempt; safe to repeat with the same `startId`. */
export async function retryRun(storage: MongoContext, owner: Owner, retry: Retry): Promise<StartOutcome> {
  const { runs } = storage.collections
  // A continuation's retry goes on from the same run, so asking again does not refill the budget.
  const retried = await runs.findOne(
    { _id: runKeyOf(owner, retry.retryOf) },
    { projection: { continuationOf: 1, continuationUsage: 1, v: 1 } },
  )
  if (retried !== null) requireKnown(retried)
  const { continuationOf, continuationUsage } = retried ?? {}
  const seed = { ...retry, ...(continuationOf && { continuationOf }), ...(continuationUsage && { continuationUsage }) }
  const run = newRunDocument(owner, seed, storage.clock.now())
  const tried = await tryTransition(storage.client, (session) => storeRetry(storage, { owner, retry, run }, session))
  if (tried === undefined) return await outcomeOfAborted(storage, { owner, run, retry })
  return tried.type === 'refused' ? await outcomeOfRefused(storage.cipher, tried, retry) : tried
}

async function storeRetry(
  storage: MongoContext,
  { owner, retry, run }: { owner: Owner; retry: Retry; run: NewRunDocument },
  session: ClientSession,
): Promise<StartOutcome | Refused> {
  const { runs, messages } = storage.collections
  const { sessionId, runId, processId, leaseMs, limits } = retry
  const request = {
    owner,
    sessionId,
    runId,
    whenBusy: 'reject',
    maxQueuedRuns: 0,
    newMessages: 0,
    title: null,
    limits: undefined, // the session is there
  } as const
  const admission = await admit(storage.collections, { ...request, now: run.createdAt }, session)
  if (isRefusal(admission)) {
    return { type: 'refused', refusal: admission, found: await runs.findOne({ _id: run._id }, { session }) }
  }
  if (admission.type !== 'idle') throw new Error('A retry waits for nothing')
  const newest = await newestMessage(messages, run.s, session)
  if (!(await endsAnswerOf(storage, { owner, newest, runId: retry.retryOf }, session))) throw new AbortTransition()
  await requireRoomForRun(storage.collections, { owner, limits, key: run._id }, session)
  const lease = { processId, ms: leaseMs }
  await storeBeginning(storage, { owner, run, lease, event: retry.startedEvent }, session)
  return { type: 'started', owned: withTitle(storage.cipher, toOwnedRun(run), admission.title) }
}

/** What the transaction has met may not be majority-committed yet, and so not be seen here: then it is tried again. */
async function outcomeOfAborted(
  storage: MongoContext,
  { owner, run, retry }: { owner: Owner; run: NewRunDocument; retry: Retry },
): Promise<StartOutcome> {
  const { runs, messages } = storage.collections
  const found = await runs.findOne({ _id: run._id })
  if (found !== null) return await outcomeOfFound(storage.cipher, found, retry)
  const newest = await newestMessage(messages, run.s)
  const isNewest = await endsAnswerOf(storage, { owner, newest, runId: retry.retryOf })
  throw isNewest ? new NotCommittedYetError() : errorOf('RUN_NOT_RETRYABLE')
}

/** Tells whether the newest message is the run's answer, or the last part of an answer that the run began: then the whole is made again. */
async function endsAnswerOf(
  { collections: { runs } }: MongoContext,
  { owner, newest, runId }: { owner: Owner; newest: MessageDocument | undefined; runId: RunId },
  session?: ClientSession,
): Promise<boolean> {
  if (newest?.role !== 'assistant') return false
  if (newest.runId === runId) return true
  let part = newest.continuationOf
  while (part !== undefined && part !== runId) {
    const options = { projection: { continuationOf: 1 }, ...(session && { session }) }
    part = (await runs.findOne({ _id: runKeyOf(owner, part) }, options))?.continuationOf
  }
  return part === runId
}

async function newestMessage(
  messages: Collections['messages'],
  s: SessionKey,
  session?: ClientSession,
): Promise<MessageDocument | undefined> {
  const options = session === undefined ? {} : { session }
  const [newest] = await messages.find({ s, b: 'main' }, options).sort({ seq: -1 }).limit(1).toArray()
  if (newest !== undefined) requireKnown(newest)
  return newest
}
