import type { ClientSession } from 'mongodb'
import type { RunId } from '../../contract/identifiers.ts'
import type { FinishOutcome, Offer, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import type { Collections, MessageDocument, RunDocument } from '../schema/collections.ts'
import { findOffered, advanceQueue, keepBusy } from './advance-queue.ts'
import type { AdvancedQueue } from './advance-queue.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import { toEventsDocument } from '../schema/documents.ts'
import { messageKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { toStoredContent } from '../schema/stored-json.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'

interface Finish {
  readonly owned: OwnedRun
  readonly end: RunEnd
  readonly offer: Offer
}

/** One attempt of the last transaction of a turn; safe to repeat with the same end. */
export async function finishRun(storage: MongoContext, finish: Finish): Promise<FinishOutcome> {
  const stored = await tryTransition(storage.client, (session) => storeEnd(storage, finish, session))
  if (stored !== undefined) return { type: 'stored', next: stored.next }
  if (!(await hasLanded(storage, finish))) return { type: 'fenced' }
  const { owner, run } = finish.owned
  const sessionKey = sessionKeyOf(owner, run.sessionId)
  return { type: 'stored', next: await findOffered(storage.collections, { owner, sessionKey, offer: finish.offer }) }
}

/** The session goes to the next that waits, or to the run that goes on from this one. */
type Ending = Pick<Finish, 'owned' | 'end'> & ({ readonly offer: Offer } | { readonly continuedBy: RunId })

/** The end of a run that is continued is only stored while nobody has asked to cancel it. */
export async function storeEnd(
  { collections, clock }: MongoContext,
  ending: Ending,
  session: ClientSession,
): Promise<AdvancedQueue> {
  const { owned, end } = ending
  const { key, owner, run } = owned
  const isContinued = 'continuedBy' in ending
  const now = clock.now()
  const ended = await collections.runs.updateOne(
    heldBy(owned, { isContinued }),
    {
      $set: {
        status: end.status,
        lastSeq: end.seq,
        error: end.error,
        metrics: end.metrics,
        endedAt: now,
        toArchive: true,
        ...(isContinued ? { continuedBy: ending.continuedBy } : {}),
      },
    },
    { session },
  )
  if (ended.matchedCount === 0) throw new AbortTransition()
  const entry = { key, firstSeq: firstSeqOf(end), batchId: end.batchId, events: [...(end.before ?? []), end.event] }
  await collections.runEvents.insertOne(toEventsDocument(entry), { session })
  const handover = { owner, sessionKey: sessionKeyOf(owner, run.sessionId), from: run.id, now }
  const released = isContinued
    ? await keepBusy(collections, { ...handover, to: ending.continuedBy, addsMessages: 2 }, session)
    : await advanceQueue(collections, { ...handover, addsMessage: true, offer: ending.offer }, session)
  if (released === undefined) throw new AbortTransition()
  const seq = isContinued ? released.head - 1 : released.head
  await collections.messages.insertOne(assistantMessage(owned, end, { seq, createdAt: now }), { session })
  return released
}

function firstSeqOf({ seq, before = [] }: RunEnd): number {
  return seq - before.length
}

/** The run while this writer may end it. */
function heldBy({ key, fence }: OwnedRun, { isContinued }: { isContinued: boolean }) {
  return { _id: key, status: 'running', fence, ...(isContinued ? { cancelRequestedAt: null } : {}) } as const
}

/**
 * The terminal event's entry tells whether an earlier attempt of this end was committed.
 *
 * @throws NotCommittedYetError when it was not, and by what a majority has the run is this writer's: whatever the transaction met is
 * not majority-committed, and may be this very end
 */
export async function hasLanded(
  { collections }: MongoContext,
  { owned, end, isContinued = false }: Pick<Finish, 'owned' | 'end'> & { readonly isContinued?: boolean },
): Promise<boolean> {
  const _id = { r: owned.key, n: firstSeqOf(end) }
  const terminal = await collections.runEvents.findOne({ _id }, { projection: { b: 1 } })
  if (terminal !== null) return terminal.b === end.batchId
  const held = await collections.runs.findOne(heldBy(owned, { isContinued }), { projection: { s: 1, id: 1 } })
  if (held !== null && (await hasSession(collections, held))) throw new NotCommittedYetError()
  return false
}

/** Whether the session is the run's, by what a majority has. */
export async function hasSession(
  { sessions }: Collections,
  { s, id }: Pick<RunDocument, 's' | 'id'>,
): Promise<boolean> {
  return (await sessions.findOne({ _id: s, activeRunId: id }, { projection: { _id: 1 } })) !== null
}

function assistantMessage(
  { owner, run }: OwnedRun,
  end: RunEnd,
  at: { seq: number; createdAt: Date },
): MessageDocument {
  return {
    _id: messageKeyOf(owner, run.sessionId, run.messageId),
    s: sessionKeyOf(owner, run.sessionId),
    b: 'main',
    seq: at.seq,
    id: run.messageId,
    sessionId: run.sessionId,
    role: 'assistant',
    content: toStoredContent(end.content),
    status: end.status,
    agentId: run.agentId,
    runId: run.id,
    ...(run.continuationOf === null ? {} : { continuationOf: run.continuationOf }),
    ...(run.retryOf === null ? {} : { retryOf: run.retryOf }),
    metrics: end.metrics,
    createdAt: at.createdAt,
    v: 1,
  }
}
