/**
 * Limits on what is stored. A transaction counts what there is, by an index and no further than the limit, and stores one more. The
 * counts are those of the documents themselves, so there is no counter that could be wrong. Starts that share a transaction share the counts too.
 */
import type { ClientSession } from 'mongodb'
import { rateLimited } from '../../contract/limit-error.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { StoredLimits } from '../../ports/run-repository.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import type { Place } from '../driver/take-turn.ts'
import { AbortTransition } from '../driver/transaction.ts'
import type { Collections } from '../schema/collections.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'

/** The transaction that counts, and what it is to write. */
interface Counting {
  readonly session: ClientSession
  readonly writes: CollectedWrites
}

/**
 * A run that is stored already is not refused: the caller finds it by its key.
 *
 * @throws VerbatimError `RATE_LIMITED` when the owner or the tenant has as many active runs as may be; AbortTransition when the run is
 * stored already
 */
export async function requireRoomForRun(
  collections: Collections,
  { owner, limits = {}, key }: { owner: Owner; limits: StoredLimits | undefined; key: RunKey },
  { session, writes }: Counting,
): Promise<void> {
  const scope = await fullScope(collections, { owner, limits }, { session, writes })
  if (scope === undefined) return
  const found = await collections.runs.findOne({ _id: key }, { session, projection: { _id: 1 } })
  throw found === null ? rateLimited(scope, 'active_runs') : new AbortTransition()
}

/** Whose active runs are as many as may be. */
async function fullScope(
  collections: Collections,
  { owner, limits }: { owner: Owner; limits: StoredLimits },
  { session, writes }: Counting,
): Promise<'principal' | 'tenant' | undefined> {
  const { tenantId, ownerId } = owner
  const { principalActiveRuns, tenantActiveRuns } = limits
  const isActive = { endedAt: { $type: 'null' } } as const
  const count = (filter: { tenantId: string; ownerId?: string }, limit: number) =>
    collections.runs.countDocuments({ ...filter, ...isActive }, { session, limit })
  if (principalActiveRuns !== undefined) {
    const hasRoom = await writes.takePlace(
      JSON.stringify(['runs', tenantId, ownerId]),
      principalActiveRuns,
      async () => {
        await guard(collections, owner, session)
        return await count({ tenantId, ownerId }, principalActiveRuns)
      },
    )
    if (!hasRoom) return 'principal'
  }
  if (tenantActiveRuns === undefined) return undefined
  // Without a guard: the starts of a whole tenant would go one after another.
  const read = () => count({ tenantId }, tenantActiveRuns)
  return (await writes.takePlace(JSON.stringify(['runs', tenantId]), tenantActiveRuns, read)) ? undefined : 'tenant'
}

/** @throws VerbatimError `RATE_LIMITED` when the owner has as many sessions as may be */
export async function requireRoomForSession(
  collections: Collections,
  { owner, limits }: { owner: Owner; limits: StoredLimits | undefined },
  { session, writes }: Counting,
): Promise<void> {
  const limit = limits?.principalSessions
  if (limit === undefined) return
  const { tenantId, ownerId } = owner
  const hasRoom = await writes.takePlace(JSON.stringify(['sessions', tenantId, ownerId]), limit, async () => {
    await guard(collections, owner, session)
    return await collections.sessions.countDocuments({ tenantId, ownerId }, { session, limit })
  })
  if (!hasRoom) throw rateLimited('principal', 'sessions')
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

/**
 * Where a transaction waits for its turn, when it goes alone: those of an owner whose guard they write go one after another. Starts need not:
 * they go together.
 */
export function placeOf(
  owner: Owner,
  { sessionId, limits }: { sessionId: SessionId; limits?: StoredLimits | undefined },
): Place {
  const isGuarded = limits?.principalActiveRuns !== undefined || limits?.principalSessions !== undefined
  return { owner, sessionId: isGuarded ? null : sessionId }
}
