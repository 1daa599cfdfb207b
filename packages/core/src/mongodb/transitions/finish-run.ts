import type { ClientSession } from 'mongodb'
import type { FinishOutcome, LeaseHolder, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import type { Attempt } from '../driver/group-transactions.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import type { Collections, EventsDocument, MessageDocument } from '../schema/collections.ts'
import type { ContentWriter } from '../schema/content-cipher.ts'
import { toEventsDocument } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { messageKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { known } from '../schema/version.ts'
import { bindFound, namedAttachments } from './bind-attachments.ts'
import { findPromoted, releaseSession } from './promote-run.ts'
import type { Promoted, Release } from './promote-run.ts'

interface Finish {
  readonly owned: OwnedRun
  readonly end: RunEnd
  readonly holder: LeaseHolder
  readonly now: Date
  readonly writer: ContentWriter
  readonly attempt: Attempt
}

/**
 * One attempt of the last transaction of a turn, which is the first of the next turn when a run waits. Safe to repeat with the
 * same end.
 */
export async function finishRun(
  storage: MongoContext,
  { owned, end, holder, now, writer, attempt }: Finish,
): Promise<FinishOutcome> {
  const { owner, run } = owned
  const release: Release = {
    owner,
    sessionKey: sessionKeyOf(owner, run.sessionId),
    from: run.id,
    holder,
    batchId: end.batchId,
    now,
  }
  const store = async (session: ClientSession, writes: CollectedWrites) => {
    markEnded(storage.collections, { owned, end, now }, writes)
    const { head, promoted } = await releaseSession(storage, release, session)
    await storeEnding(storage.collections, { owned, end, seq: head, now, writer, promoted }, { session, writes })
    return { promoted: promoted?.started }
  }
  const stored = await storage.ends.try(store, attempt)
  if (stored !== undefined) return { type: 'stored', promoted: stored.promoted }
  if (!(await hasLanded(storage, owned, { firstSeq: firstSeqOf(end), batchId: end.batchId }))) return { type: 'fenced' }
  return { type: 'stored', promoted: await findPromoted(storage.collections, release) }
}

type Ended = Pick<Finish, 'owned' | 'end' | 'now'> & {
  /** Of a run that is continued, which ends so only while no caller has asked to cancel it. */
  readonly continuedBy?: string
}

/** When the run has ended, or is another writer's, this undoes the transaction. */
export function markEnded(
  { runs }: Collections,
  { owned, end, now, continuedBy }: Ended,
  writes: CollectedWrites,
): void {
  const { status, error, metrics, seq: lastSeq } = end
  const link = continuedBy === undefined ? {} : { continuedBy }
  const ended = { status, lastSeq, error, metrics, endedAt: now, toArchive: true, ...link } as const
  writes.update(runs, { filter: heldBy(owned, continuedBy !== undefined), update: { $set: ended } })
}

interface Ending extends Pick<Finish, 'owned' | 'end' | 'now' | 'writer'> {
  /** Place of the assistant message in the session. */
  readonly seq: number
  /** What the beginning of the next run adds. */
  readonly promoted?: Pick<Promoted, 'message' | 'entry'> | undefined
}

/** Inserts the assistant message and the terminal event, and with them what begins the next run. */
export async function storeEnding(
  collections: Collections,
  { owned, end, now, seq, writer, promoted }: Ending,
  { session, writes }: { session: ClientSession; writes: CollectedWrites },
): Promise<void> {
  const { messages, runEvents } = collections
  const key = messageKeyOf(owned.owner, owned.run.sessionId, owned.run.messageId)
  const content = writer.content(key, end.content)
  const named = namedAttachments(owned.owner, end.content)
  await bindFound(collections, named, session)
  const output = end.output === undefined ? {} : { output: writer.json({ part: 'output', of: key }, end.output) }
  const data = end.data?.length ? { data: writer.json({ part: 'data', of: key }, [...end.data]) } : {}
  const answer = assistantMessage(owned, end, { _id: key, content, ...named, ...output, ...data, seq, createdAt: now })
  writes.insert(messages, answer)
  const firstSeq = firstSeqOf(end)
  const e = writer.events({ key: owned.key, firstSeq, events: [...(end.before ?? []), end.event] })
  const ending: EventsDocument = { _id: { r: owned.key, n: firstSeq }, b: end.batchId, e }
  writes.insert(runEvents, ending)
  if (promoted === undefined) return
  writes.insert(messages, promoted.message)
  writes.insert(runEvents, toEventsDocument(promoted.entry))
}

export function firstSeqOf({ seq, before = [] }: RunEnd): number {
  return seq - before.length
}

/** The run while this writer may end it. */
export function heldBy({ key, fence }: OwnedRun, isContinued = false) {
  return { _id: key, status: 'running', fence, ...known, ...(isContinued ? { cancelRequestedAt: null } : {}) } as const
}

interface WrittenEntry {
  readonly firstSeq: number
  readonly batchId: string
  /** It ends a run that is continued. */
  readonly isContinued?: boolean
}

/**
 * Tells by the entry whether an earlier attempt of the transaction that writes it was committed.
 *
 * @throws NotCommittedYetError when it was not, and by what a majority has the run is this writer's: whatever the transaction met is
 * not majority-committed, and may be this very write
 */
export async function hasLanded(
  { collections: { runs, runEvents, sessions } }: MongoContext,
  owned: OwnedRun,
  { firstSeq, batchId, isContinued = false }: WrittenEntry,
): Promise<boolean> {
  const entry = await runEvents.findOne({ _id: { r: owned.key, n: firstSeq } }, { projection: { b: 1 } })
  if (entry !== null) return entry.b === batchId
  const held = await runs.findOne(heldBy(owned, isContinued), { projection: { s: 1, id: 1 } })
  if (held === null) return false
  const session = await sessions.findOne({ _id: held.s, activeRunId: held.id, ...known }, { projection: { _id: 1 } })
  if (session !== null) throw new NotCommittedYetError()
  return false
}

function assistantMessage(
  { owner, run }: OwnedRun,
  end: RunEnd,
  at: Pick<MessageDocument, '_id' | 'content' | 'attachments' | 'output' | 'data' | 'seq' | 'createdAt'>,
): MessageDocument {
  return {
    _id: at._id,
    s: sessionKeyOf(owner, run.sessionId),
    b: 'main',
    seq: at.seq,
    id: run.messageId,
    sessionId: run.sessionId,
    role: 'assistant',
    content: at.content,
    status: end.status,
    agentId: run.agentId,
    runId: run.id,
    ...(run.continuationOf === null ? {} : { continuationOf: run.continuationOf }),
    ...(run.retryOf === null ? {} : { retryOf: run.retryOf }),
    ...(at.attachments === undefined ? {} : { attachments: at.attachments }),
    ...(at.output === undefined ? {} : { output: at.output }),
    ...(at.data === undefined ? {} : { data: at.data }),
    metrics: end.metrics,
    createdAt: at.createdAt,
    v: 1,
  }
}
