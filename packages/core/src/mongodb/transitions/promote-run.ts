/**
 * The end of a run promotes the first that waits, in the same transaction: the session goes from a running run to a running run,
 * and is idle only when no run waits. So a start that finds it idle overtakes none (P5).
 */
import type { ClientSession } from 'mongodb'
import type { EngineEvent, RunStartedEvent } from '../../contract/event.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { promotedFence } from '../../ports/run-repository.ts'
import type { LeaseHolder, OwnedRun, PromotedRun } from '../../ports/run-repository.ts'
import { AbortTransition } from '../driver/transaction.ts'
import type { Collections, MessageDocument, RunDocument } from '../schema/collections.ts'
import { toOwnedRun, withTitle } from '../schema/documents.ts'
import type { EngineEntry } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { known, newer, newerDocument } from '../schema/version.ts'
import { nextRevision } from './admit-run.ts'
import { userMessageOf } from './store-beginning.ts'

export interface Release {
  readonly owner: Owner
  readonly sessionKey: SessionKey
  /** The run that has the session. */
  readonly from: RunId
  readonly holder: LeaseHolder
  /** Id of the end: the beginning of the next run is a part of it. */
  readonly batchId: string
  readonly now: Date
}

interface Released {
  /** Seq of the ended run's message. */
  readonly head: number
  readonly promoted: Promoted | undefined
}

export interface Promoted {
  /** To be inserted by the same transaction. */
  readonly message: MessageDocument
  readonly entry: EngineEntry
  /** Undefined when another process is to drive it. */
  readonly started: PromotedRun | undefined
}

/** Gives the session to the first run that waits, or to none. Throws AbortTransition when the session is not the run's. */
export async function releaseSession(
  { collections, cipher }: Pick<MongoContext, 'collections' | 'cipher'>,
  release: Release,
  session: ClientSession,
): Promise<Released> {
  let { from } = release
  let added = 1
  while (true) {
    const {
      head,
      title,
      activeRunId: next,
    } = await shiftQueue(collections.sessions, { ...release, from, added }, session)
    if (next === null) return { head, promoted: undefined }
    const waiting = await promoteRun(collections.runs, { ...release, runId: next }, session)
    if (waiting !== null) {
      const promoted = toPromoted(waiting, { ...release, seq: head }, (owned) => withTitle(cipher, owned, title))
      return { head: head - 1, promoted }
    }
    await requireNoNewer(collections.runs, runKeyOf(release.owner, next), session)
    // A run that was deleted by hand must not hold up those after it; the place of its message is free again.
    from = next
    added = -1
  }
}

/** The end of the run is then a newer server's, which knows what comes next. @throws VerbatimError `UNSUPPORTED_VERSION` */
async function requireNoNewer(runs: Collections['runs'], _id: RunKey, session: ClientSession): Promise<void> {
  if ((await runs.findOne({ _id, ...newer }, { session, projection: { _id: 1 } })) !== null) throw newerDocument()
}

/** @param added messages that the transaction inserts beside that of the next run */
async function shiftQueue(
  sessions: Collections['sessions'],
  { sessionKey, from, added, now }: Pick<Release, 'sessionKey' | 'from' | 'now'> & { readonly added: number },
  session: ClientSession,
) {
  const next = { $ifNull: [{ $first: '$queue' }, null] }
  const released = await sessions.findOneAndUpdate(
    { _id: sessionKey, activeRunId: from, ...known },
    [
      {
        $set: {
          head: { $add: ['$head', added, { $cond: [{ $eq: [next, null] }, 0, 1] }] },
          activeRunId: next,
          queue: { $slice: [{ $ifNull: ['$queue', []] }, 1, maxSliced] },
          rev: nextRevision,
          updatedAt: now,
        },
      },
    ],
    { session, returnDocument: 'after', projection: { head: 1, title: 1, activeRunId: 1 } },
  )
  if (released === null) throw new AbortTransition()
  return released
}

/** `$slice` wants a length; any that no queue reaches will do. */
const maxSliced = 1_000_000

/** Answers the run as it waited, with its prompt and its input. */
async function promoteRun(
  runs: Collections['runs'],
  { owner, runId, batchId, holder }: Release & { readonly runId: RunId },
  session: ClientSession,
): Promise<RunDocument | null> {
  const { processId, leaseMs, agentIds } = holder
  const isInline = { $gt: ['$inlineProcessId', null] }
  const lease = {
    processId: { $ifNull: ['$inlineProcessId', processId] },
    ms: { $cond: [{ $or: [isInline, { $in: ['$agentId', { $literal: agentIds }] }] }, leaseMs, 0] },
    renewedAt: '$$NOW',
  }
  return await runs.findOneAndUpdate(
    { _id: runKeyOf(owner, runId), status: 'queued', ...known },
    // Another start id from here on: a start that is repeated must not take the run for one that it has begun itself.
    [
      { $set: { status: 'running', startId: batchId, fence: promotedFence, lease } },
      { $unset: ['prompt', 'input', 'attachments'] },
    ],
    { session, returnDocument: 'before' },
  )
}

function toPromoted(
  waiting: RunDocument,
  { owner, holder, batchId, now, seq }: Release & { seq: number },
  addTitle: (owned: OwnedRun) => OwnedRun,
): Promoted {
  const events = eventsOf(waiting, now)
  const named = waiting.attachments && { attachments: waiting.attachments }
  const owned = addTitle(toOwnedRun({ ...waiting, status: 'running', fence: promotedFence }))
  return {
    message: userMessageOf(owner, waiting, {
      prompt: waiting.prompt ?? [],
      input: waiting.input,
      named,
      seq,
      createdAt: now,
    }),
    entry: { key: waiting._id, firstSeq: events.length, batchId, events: events.slice(-1) },
    started: isDrivenBy(holder, waiting) ? { owned, events } : undefined,
  }
}

function isDrivenBy(
  { processId, agentIds }: LeaseHolder,
  { agentId, inlineProcessId }: Pick<RunDocument, 'agentId' | 'inlineProcessId'>,
): boolean {
  return inlineProcessId === undefined ? agentIds.includes(agentId) : inlineProcessId === processId
}

/** What the log of a promoted run begins with. */
function eventsOf(run: Omit<RunDocument, 'lease'>, startedAt: Date): EngineEvent[] {
  const { id: runId, sessionId, agentId, userMessageId, messageId } = run
  const ids = { runId, sessionId, agentId }
  const started: RunStartedEvent = {
    type: 'run_started',
    ...ids,
    userMessageId,
    messageId,
    startedAt: startedAt.toISOString(),
  }
  return [{ type: 'run_queued', ...ids, queuedAt: run.createdAt.toISOString() }, started]
}

/** The run that an earlier attempt of the same end has promoted, while it is this process's to drive; its lease begins anew. */
export async function findPromoted(
  { sessions, runs }: Collections,
  { owner, sessionKey, holder, batchId, now }: Release,
): Promise<PromotedRun | undefined> {
  const found = await sessions.findOne({ _id: sessionKey }, { projection: { activeRunId: 1 } })
  if (!found?.activeRunId) return undefined
  const promoted = await runs.findOneAndUpdate(
    {
      _id: runKeyOf(owner, found.activeRunId),
      status: 'running',
      startId: batchId,
      fence: promotedFence,
      // A continuation has the id of an end, too.
      continuationOf: { $exists: false },
      'lease.processId': holder.processId,
      'lease.ms': { $gt: 0 },
    },
    { $currentDate: { 'lease.renewedAt': true } },
    { returnDocument: 'after' },
  )
  return promoted === null ? undefined : { owned: toOwnedRun(promoted), events: eventsOf(promoted, now) }
}
