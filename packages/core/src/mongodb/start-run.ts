import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../contract/errors.ts'
import { textOf } from '../contract/content-block.ts'
import type { RunEvent } from '../contract/event.ts'
import type { Owner } from '../contract/principal.ts'
import type { LinkedRun, NewRun, RepeatedRun, StartOutcome } from '../ports/run-repository.ts'
import type { Collections, MessageDocument, RunDocument } from './collections.ts'
import { toOwnedRun, toRun } from './documents.ts'
import { isDuplicateKey, NotCommittedYetError } from './map-error.ts'
import { messageKeyOf, runKeyOf, sessionKeyOf } from './owner-keys.ts'
import type { MongoContext } from './mongo-context.ts'
import { busyError, claimHead } from './session-head.ts'
import { inTransaction } from './transaction.ts'

const maxTitleLength = 80

/** `startId` tells a repeated attempt that an earlier one, whose answer was lost, has started the run. */
export type Start = NewRun & Partial<Pick<LinkedRun, 'continues' | 'chain'>> & { readonly startId: string }

export type NewRunDocument = Omit<RunDocument, 'lease'> & {
  readonly lease: { readonly processId: string; readonly ms: number }
}

/** One attempt of the first transaction of a turn; safe to repeat with the same `startId`. */
export async function startRun(storage: MongoContext, owner: Owner, start: Start): Promise<StartOutcome> {
  const run = newRunDocument(owner, start, storage.clock.now())
  try {
    await inTransaction(storage.client, (session) => insertTurn(storage, { owner, start, run }, session))
    return { type: 'started', owned: toOwnedRun(run) }
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    return await whyNotStarted(storage, owner, start)
  }
}

async function insertTurn(
  { collections }: MongoContext,
  { owner, start, run }: { owner: Owner; start: Start; run: NewRunDocument },
  session: ClientSession,
): Promise<void> {
  const claim = {
    owner,
    sessionId: start.sessionId,
    activeRunId: start.runId,
    title: titleOf(start),
    now: run.createdAt,
  }
  const seq = await claimHead(collections.sessions, claim, session)
  await insertRun(collections, { run, firstEvent: start.firstEvent }, session)
  await collections.messages.insertOne(userMessage(owner, start, { seq, createdAt: run.createdAt }), { session })
}

/** An upsert only because its `$currentDate` is the database's clock, which leases are measured by. */
export async function insertRun(
  { runs, runEvents }: Collections,
  { run, firstEvent }: { run: NewRunDocument; firstEvent: RunEvent },
  session: ClientSession,
): Promise<void> {
  const { _id, startId, lease, ...rest } = run
  const onInsert = { ...rest, 'lease.processId': lease.processId, 'lease.ms': lease.ms }
  const update = { $setOnInsert: onInsert, $currentDate: { 'lease.renewedAt': true } } as const
  await runs.updateOne({ _id, startId }, update, { upsert: true, session })
  await runEvents.insertOne({ _id: { r: _id, n: 1 }, b: startId, e: [firstEvent] }, { session })
}

async function whyNotStarted(storage: MongoContext, owner: Owner, start: Start): Promise<StartOutcome> {
  const { runs, sessions } = storage.collections
  const started = await findStarted(runs, owner, start)
  if (started !== undefined) return started
  const busy = await busyError(sessions, owner, start.sessionId)
  // The run was there for the transaction, and is not majority-committed yet.
  if (busy?.data.activeRunId === start.runId) throw new NotCommittedYetError()
  if (busy !== undefined) throw busy
  // Lost a race to make the session, or the session has become idle since: the way is free now.
  return await startRun(storage, owner, start)
}

/** The run of this id, made by an earlier attempt or an earlier call. @throws VerbatimError `RUN_ID_REUSED` */
export async function findStarted(
  runs: Collections['runs'],
  owner: Owner,
  start: Pick<Start, 'runId' | 'startId' | 'inputHash'>,
): Promise<StartOutcome | undefined> {
  const found = await runs.findOne({ _id: runKeyOf(owner, start.runId) })
  if (found === null) return undefined
  if (found.startId === start.startId) return { type: 'started', owned: toOwnedRun(found) }
  if (found.inputHash === start.inputHash) return { type: 'existing', run: toRun(found) }
  throw new VerbatimError('RUN_ID_REUSED', 'This run id was used for another prompt; make a new id', {
    data: { field: 'runId' },
  })
}

export function newRunDocument(
  owner: Owner,
  start: Omit<Start, 'prompt'> & Partial<Pick<RepeatedRun, 'retries'>>,
  now: Date,
): NewRunDocument {
  const { continues, chain, retries } = start
  return {
    _id: runKeyOf(owner, start.runId),
    s: sessionKeyOf(owner, start.sessionId),
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id: start.runId,
    sessionId: start.sessionId,
    agentId: start.agentId,
    status: 'running',
    inputHash: start.inputHash,
    startId: start.startId,
    userMessageId: start.userMessageId,
    messageId: start.messageId,
    lease: { processId: start.processId, ms: start.leaseMs },
    fence: 1,
    cancelRequestedAt: null,
    lastSeq: null,
    error: null,
    metrics: null,
    ...(continues === undefined ? {} : { continues }),
    ...(chain === undefined ? {} : { chain }),
    ...(retries === undefined ? {} : { retries }),
    createdAt: now,
    endedAt: null,
    v: 1,
  }
}

export function userMessage(owner: Owner, start: Start, at: { seq: number; createdAt: Date }): MessageDocument {
  return {
    _id: messageKeyOf(owner, start.userMessageId),
    s: sessionKeyOf(owner, start.sessionId),
    b: 'main',
    seq: at.seq,
    id: start.userMessageId,
    sessionId: start.sessionId,
    role: 'user',
    content: [...start.prompt],
    status: 'completed',
    agentId: null,
    runId: start.runId,
    ...(start.continues === undefined ? {} : { continues: start.continues }),
    metrics: null,
    createdAt: at.createdAt,
    v: 1,
  }
}

/** The first line of the first prompt names the session until somebody renames it. */
function titleOf(start: Start): string {
  const [line = ''] = textOf(start.prompt).trim().split('\n', 1)
  return line.trim().slice(0, maxTitleLength).toWellFormed()
}
