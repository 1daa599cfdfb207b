/**
 * Whoever ends a run hands its session on in the same transaction: to the first that waits, or to nobody. So a session is
 * never idle while a run waits, and a start that finds it idle overtakes nobody (P5).
 */
import type { ClientSession } from 'mongodb'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { Offer, OwnedRun } from '../../ports/run-repository.ts'
import type { Collections, RunDocument } from '../schema/collections.ts'
import { toOwnedRun } from '../schema/documents.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { notDeleted } from './admit-run.ts'

export interface Handover {
  readonly owner: Owner
  readonly sessionKey: SessionKey
  /** The run that has the session. */
  readonly from: RunId
  /** True when the transaction inserts a message, at the head that is answered. */
  readonly addsMessage: boolean
  readonly offer: Offer
  readonly now: Date
}

export interface AdvancedQueue {
  readonly head: number
  /** Whose turn it is now; only offered so far, see `beginRun`. */
  readonly next: OwnedRun | undefined
}

/** Undefined when the session is not the run's. */
export async function advanceQueue(
  collections: Collections,
  { addsMessage, ...handover }: Handover,
  session: ClientSession,
): Promise<AdvancedQueue | undefined> {
  const released = await collections.sessions.findOneAndUpdate(
    { _id: handover.sessionKey, activeRunId: handover.from },
    [
      {
        $set: {
          head: { $add: ['$head', addsMessage ? 1 : 0] },
          activeRunId: { $ifNull: [{ $first: '$queue' }, null] },
          queue: { $slice: [{ $ifNull: ['$queue', []] }, 1, maxSliced] },
          updatedAt: handover.now,
        },
      },
    ],
    { session, returnDocument: 'after', projection: { head: 1, activeRunId: 1 } },
  )
  if (released === null) return undefined
  const { head, activeRunId } = released
  if (activeRunId === null) return { head, next: undefined }
  const offered = await offerRun(collections, { ...handover, runId: activeRunId }, session)
  if (offered !== null) return { head, next: toOwnedRun(offered) }
  // A run that was deleted by hand must not hold up those behind it.
  return await advanceQueue(collections, { ...handover, from: activeRunId, addsMessage: false }, session)
}

/**
 * The session stays busy, now with the run that goes on from the one that has it; whoever waits goes on waiting. Answers the head
 * with the messages that the transaction adds.
 */
export async function keepBusy(
  { sessions }: Collections,
  {
    sessionKey,
    from,
    to,
    addsMessages,
    now,
  }: Pick<Handover, 'sessionKey' | 'from' | 'now'> & {
    readonly to: RunId
    readonly addsMessages: number
  },
  session: ClientSession,
): Promise<AdvancedQueue | undefined> {
  const kept = await sessions.findOneAndUpdate(
    { _id: sessionKey, ...notDeleted, activeRunId: from },
    { $inc: { head: addsMessages }, $set: { activeRunId: to, updatedAt: now } },
    { session, returnDocument: 'after', projection: { head: 1 } },
  )
  return kept === null ? undefined : { head: kept.head, next: undefined }
}

/** `$slice` wants a length; any that no queue reaches will do. */
const maxSliced = 1_000_000

async function offerRun(
  { runs }: Collections,
  { owner, runId, offer }: { owner: Owner; runId: RunId; offer: Offer },
  session: ClientSession,
): Promise<RunDocument | null> {
  return await runs.findOneAndUpdate({ _id: runKeyOf(owner, runId), status: 'queued' }, offerUpdate(offer), {
    session,
    returnDocument: 'after',
  })
}

/** Offers a queued run to a process; the fence tells this offer from those before. */
export function offerUpdate({ processId, offerMs }: Offer) {
  return {
    $set: { 'lease.processId': processId, 'lease.ms': offerMs },
    $currentDate: { 'lease.renewedAt': true },
    $inc: { fence: 1 },
  } as const
}

/** The run that the session was handed to, when it is still offered to this process: what a lost answer would have said. */
export async function findOffered(
  { sessions, runs }: Collections,
  { owner, sessionKey, offer }: Pick<Handover, 'owner' | 'sessionKey' | 'offer'>,
): Promise<OwnedRun | undefined> {
  const found = await sessions.findOne({ _id: sessionKey }, { projection: { activeRunId: 1 } })
  if (!found?.activeRunId) return undefined
  const key = runKeyOf(owner, found.activeRunId)
  const offered = await runs.findOne({ _id: key, status: 'queued', 'lease.processId': offer.processId })
  return offered === null ? undefined : toOwnedRun(offered)
}
