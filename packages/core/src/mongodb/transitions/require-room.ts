/**
 * Limits on what is stored. A transaction counts what there is, by an index and no further than the limit, and stores one more. The
 * counts are those of the documents themselves, so there is no counter that could be wrong.
 */
import type { ClientSession } from 'mongodb'
import { rateLimited } from '../../contract/limit-error.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { StoredLimits } from '../../ports/run-repository.ts'
import type { Place } from '../driver/take-turn.ts'
import { AbortTransition } from '../driver/transaction.ts'
import type { Collections } from '../schema/collections.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'

/**
 * A run that is stored already is not refused: the caller finds it by its key.
 *
 * @throws VerbatimError `RATE_LIMITED` when the owner or the tenant has as many active runs as may be; AbortTransition when the run is
 * stored already
 */
export async function requireRoomForRun(
  collections: Collections,
  { owner, limits = {}, key }: { owner: Owner; limits: StoredLimits | undefined; key: RunKey },
  session: ClientSession,
): Promise<void> {
  const scope = await fullScope(collections, { owner, limits }, session)
  if (scope === undefined) return
  const found = await collections.runs.findOne({ _id: key }, { session, projection: { _id: 1 } })
  throw found === null ? rateLimited(scope, 'active_runs') : new AbortTransition()
}

/** Whose active runs are as many as may be. */
async function fullScope(
  collections: Collections,
  { owner, limits }: { owner: Owner; limits: StoredLimits },
  session: ClientSession,
): Promise<'principal' | 'tenant' | undefined> {
  const { tenantId, ownerId } = owner
  const { principalActiveRuns, tenantActiveRuns } = limits
  const isActive = { endedAt: { $type: 'null' } } as const
  const has = async (filter: { tenantId: string; ownerId?: string }, limit: number) =>
    (await collections.runs.countDocuments({ ...filter, ...isActive }, { session, limit })) >= limit
  if (principalActiveRuns !== undefined) {
    await guard(collections, owner, session)
    if (await has({ tenantId, ownerId }, principalActiveRuns)) return 'principal'
  }
  // Without a guard: the starts of a whole tenant would go one after another.
  return tenantActiveRuns !== undefined && (await has({ tenantId }, tenantActiveRuns)) ? 'tenant' : undefined
}

/** @throws VerbatimError `RATE_LIMITED` when the owner has as many sessions as may be */
export async function requireRoomForSession(
  collections: Collections,
  { owner, limits }: { owner: Owner; limits: StoredLimits | undefined },
  session: ClientSession,
): Promise<void> {
  const limit = limits?.principalSessions
  if (limit === undefined) return
  await guard(collections, owner, session)
  const { tenantId, ownerId } = owner
  const count = await collections.sessions.countDocuments({ tenantId, ownerId }, { session, limit })
  if (count >= limit) throw rateLimited('principal', 'sessions')
}

/** @throws VerbatimError `RATE_LIMITED` when a file of `sizeBytes` is more than the owner may still store */
export async function requireRoomForBytes(
  collections: Collections,
  { owner, limits, sizeBytes }: { owner: Owner; limits: StoredLimits | undefined; sizeBytes: number },
  session: ClientSession,
): Promise<void> {
  const limit = limits?.principalAttachmentBytes
  if (limit === undefined) return
  await guard(collections, owner, session)
  if ((await storedBytes(collections, owner, { session })) + sizeBytes > limit) {
    throw rateLimited('principal', 'attachment_bytes')
  }
}

/** By the index alone. */
export async function storedBytes(
  { attachments }: Collections,
  { tenantId, ownerId }: Owner,
  options: { session?: ClientSession } = {},
): Promise<number> {
  const own = { $match: { tenantId: { $eq: tenantId }, ownerId: { $eq: ownerId } } }
  const sum = { $group: { _id: null, bytes: { $sum: '$sizeBytes' } } }
  const [found] = await attachments.aggregate<{ bytes: number }>([own, sum], options).toArray()
  return found?.bytes ?? 0
}

/** Of two transactions that count for the same owner one meets the other here and is tried again, with what the other has stored. */
async function guard({ ownerGuards }: Collections, owner: Owner, session: ClientSession): Promise<void> {
  await ownerGuards.updateOne({ _id: principalKeyOf(owner) }, { $inc: { n: 1 } }, { upsert: true, session })
}

/** Where a transaction waits for its turn: those of an owner whose guard they write go one after another. */
export function placeOf(
  owner: Owner,
  { sessionId, limits }: { sessionId: SessionId; limits?: StoredLimits | undefined },
): Place {
  const isGuarded = limits?.principalActiveRuns !== undefined || limits?.principalSessions !== undefined
  return { owner, sessionId: isGuarded ? null : sessionId }
}
