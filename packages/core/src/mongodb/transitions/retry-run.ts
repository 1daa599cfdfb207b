import type { ClientSession } from 'mongodb'
import { errorOf } from '../../contract/errors.ts'
import type { RunId } from '../../contract/identifiers.ts'
import { rateLimited } from '../../contract/limit-error.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { FurtherRun, RepeatedRun, StartOutcome } from '../../ports/run-repository.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import type { Collections, MessageDocument } from '../schema/collections.ts'
import { noContinuationUsage, toOwnedRun, withTitle } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import type { ContentWriter } from '../schema/content-cipher.ts'
import { messageKeyOf, runKeyOf } from '../schema/owner-keys.ts'
import type { StoredContent, StoredJson } from '../schema/stored-json.ts'
import { requireKnown } from '../schema/version.ts'
import { admit, isRefusal } from './admit-run.ts'
import type { AdmissionRequest } from './admit-run.ts'
import { takeRoomForRun } from './require-room.ts'
import { outcomeOfFound, outcomeOfRefused } from './start-run.ts'
import type { Refused } from './start-run.ts'
import { newRunDocument, storeBeginning } from './store-beginning.ts'
import type { NewRunDocument } from './store-beginning.ts'

/** A run for the newest answer of its session: the run of that answer is `before`. */
interface Again {
  readonly owner: Owner
  readonly before: RunId
  readonly start: (RepeatedRun | FurtherRun) & { readonly startId: string }
  readonly run: NewRunDocument
  /** The server's user message; undefined when the run answers a stored prompt. */
  readonly message?: { readonly prompt: StoredContent; readonly input?: StoredJson | undefined }
}

type WithStartId<TRun> = TRun & { readonly startId: string }

/** One attempt; safe to repeat with the same `startId`. */
export async function retryRun(
  storage: MongoContext,
  owner: Owner,
  retry: WithStartId<RepeatedRun>,
): Promise<StartOutcome> {
  // A continuation's retry goes on from the same run, so asking again does not refill the budget.
  const { continuationOf, continuationUsage } = (await linksOf(storage, owner, retry.retryOf)) ?? {}
  const seed = { ...retry, ...(continuationOf && { continuationOf }), ...(continuationUsage && { continuationUsage }) }
  const run = newRunDocument(owner, seed, storage.clock.now())
  return await begin(storage, { owner, before: retry.retryOf, start: retry, run })
}

/** One attempt; safe to repeat with the same `startId`. */
export async function continueAnswer(
  storage: MongoContext,
  owner: Owner,
  { start, writer }: { start: WithStartId<FurtherRun>; writer: ContentWriter },
): Promise<StartOutcome> {
  const used = (await linksOf(storage, owner, start.continuationOf))?.continuationUsage ?? noContinuationUsage
  const continuationUsage = { ...used, asked: (used.asked ?? 0) + 1 }
  const run = newRunDocument(owner, { ...start, continuationUsage }, storage.clock.now())
  const key = messageKeyOf(owner, start.sessionId, start.userMessageId)
  const input = start.input === undefined ? undefined : writer.json({ part: 'input', of: key }, start.input)
  const message = { prompt: writer.content(key, start.prompt), input }
  return await begin(storage, { owner, before: start.continuationOf, start, run, message })
}

async function linksOf({ collections: { runs } }: MongoContext, owner: Owner, runId: RunId) {
  const projection = { continuationOf: 1, continuationUsage: 1, v: 1 }
  const found = await runs.findOne({ _id: runKeyOf(owner, runId) }, { projection })
  if (found !== null) requireKnown(found)
  return found
}

async function begin(storage: MongoContext, again: Again): Promise<StartOutcome> {
  const tried = await tryTransition(storage.client, (session, writes) =>
    admitAndStore(storage, again, { session, writes }),
  )
  if (tried === undefined) return await outcomeOfAborted(storage, again)
  return tried.type === 'refused' ? await outcomeOfRefused(storage.cipher, tried, again.start) : tried
}

async function admitAndStore(
  storage: MongoContext,
  { owner, before, start, run, message }: Again,
  { session, writes }: { session: ClientSession; writes: CollectedWrites },
): Promise<StartOutcome | Refused> {
  const { runs, messages } = storage.collections
  const { sessionId, runId, processId, leaseMs, limits } = start
  const request: Omit<AdmissionRequest, 'now'> = {
    owner,
    sessionId,
    runId,
    whenBusy: 'reject',
    maxQueuedRuns: 0,
    newMessages: message === undefined ? 0 : 1,
    title: null,
    limits: undefined, // the session is there
  }
  const admission = await admit(storage.collections, { ...request, now: run.createdAt }, { session, writes })
  if (isRefusal(admission)) {
    return { type: 'refused', refusal: admission, found: await runs.findOne({ _id: run._id }, { session }) }
  }
  if (admission.type !== 'idle') throw new Error('Such a run waits for nothing')
  const newest = await newestMessage(messages, run.s, session)
  if (!(await endsAnswerOf(storage, { owner, newest, runId: before, isPart: message !== undefined }, session))) {
    throw new AbortTransition()
  }
  const full = await takeRoomForRun(storage.collections, { owner, limits }, { session, writes })
  if (full !== undefined) {
    const found = await runs.findOne({ _id: run._id }, { session, projection: { _id: 1 } })
    throw found === null ? rateLimited(full, 'active_runs') : new AbortTransition()
  }
  const lease = { processId, ms: leaseMs }
  const beginning = { owner, run, lease, event: start.startedEvent }
  const seq = admission.head
  storeBeginning(storage, message === undefined ? beginning : { ...beginning, message: { ...message, seq } }, writes)
  return { type: 'started', owned: withTitle(storage.cipher, toOwnedRun(run), admission.title) }
}

/** What the transaction has met may not be majority-committed yet, and so not be seen here: then it is tried again. */
async function outcomeOfAborted(
  storage: MongoContext,
  { owner, before, start, run, message }: Again,
): Promise<StartOutcome> {
  const { runs, messages } = storage.collections
  const found = await runs.findOne({ _id: run._id })
  if (found !== null) return await outcomeOfFound(storage.cipher, found, start)
  const newest = await newestMessage(messages, run.s)
  const isNewest = await endsAnswerOf(storage, { owner, newest, runId: before, isPart: message !== undefined })
  throw isNewest ? new NotCommittedYetError() : errorOf('RUN_NOT_RETRYABLE')
}

/**
 * Tells whether the newest message is the run's answer, or the last part of an answer that the run began: then the whole is made again.
 * With `isPart` only its own answer counts.
 */
async function endsAnswerOf(
  { collections: { runs } }: MongoContext,
  {
    owner,
    newest,
    runId,
    isPart,
  }: { owner: Owner; newest: MessageDocument | undefined; runId: RunId; isPart: boolean },
  session?: ClientSession,
): Promise<boolean> {
  if (newest?.role !== 'assistant') return false
  if (newest.runId === runId || isPart) return newest.runId === runId
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
