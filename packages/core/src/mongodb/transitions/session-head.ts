/** The session document orders a session's messages: its `head` moves only inside the transaction that inserts the message. */
import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunId, SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Collections, SessionDocument } from '../schema/collections.ts'
import { sessionKeyOf } from '../schema/owner-keys.ts'

/** A deleted session matches no claim: it is not moved, and the upsert that would make it anew runs into its key. */
export const notDeleted = { deletedAt: { $exists: false } } as const

export interface HeadClaim {
  readonly owner: Owner
  readonly sessionId: SessionId
  /** The run that makes the session busy; null for a message without a run. */
  readonly activeRunId: RunId | null
  /** The title of a session made by this claim. */
  readonly title: string | null
  readonly now: Date
}

/**
 * Moves the head of an idle session one on, making the session when it is new. Answers the new head: the seq of the message
 * to insert in the same transaction. A busy session does not match the filter, so the upsert runs into its `_id` and throws
 * a duplicate key; {@link busyError} then says by which run.
 */
export async function claimHead(
  sessions: Collections['sessions'],
  claim: HeadClaim,
  session: ClientSession,
): Promise<number> {
  const claimed = await sessions.findOneAndUpdate(
    { _id: sessionKeyOf(claim.owner, claim.sessionId), ...notDeleted, activeRunId: null },
    {
      $inc: { head: 1 },
      $set: { activeRunId: claim.activeRunId, updatedAt: claim.now },
      $setOnInsert: { ...newSession(claim.owner, claim.sessionId, claim.title), createdAt: claim.now },
    },
    { upsert: true, returnDocument: 'after', session },
  )
  if (claimed === null) throw new Error('An upsert answered no document')
  return claimed.head
}

/** The fields of a session that never change, and its first title. */
export function newSession(owner: Owner, sessionId: SessionId, title: string | null) {
  return {
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id: sessionId,
    title,
    v: 1,
  } as const satisfies Partial<SessionDocument>
}

/**
 * `SESSION_BUSY` naming the active run; undefined when the session has become idle meanwhile.
 *
 * @throws VerbatimError `SESSION_DELETED`
 */
export async function busyError(
  sessions: Collections['sessions'],
  owner: Owner,
  sessionId: SessionId,
): Promise<VerbatimError | undefined> {
  const projection = { activeRunId: 1, deletedAt: 1 }
  const found = await sessions.findOne({ _id: sessionKeyOf(owner, sessionId) }, { projection })
  if (found?.deletedAt !== undefined) throw new VerbatimError('SESSION_DELETED')
  if (!found?.activeRunId) return undefined
  return new VerbatimError(
    'SESSION_BUSY',
    'A run is active in this session; follow it, cancel it or wait for its end',
    {
      data: { activeRunId: found.activeRunId },
    },
  )
}
