/**
 * Limits on what is stored. A transaction counts what there is, by an index and no further than the limit, and stores one more. The
 * counts are those of the documents themselves, so there is no counter that could be wrong. Starts that share a transaction share its counts.
 */
import type { ClientSession } from 'mongodb'
import { rateLimited } from '../../contract/limit-error.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { StoredLimits } from '../../ports/run-repository.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import type { Place } from '../driver/take-turn.ts'
import type { Collections } from '../schema/collections.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'

/** The transaction that counts, and what it is to write. */
export interface Counting {
  readonly session: ClientSession
  readonly writes: CollectedWrites
}

interface Counted {
  readonly owner: Owner
  readonly limits: StoredLimits | undefined
}

/** Counts one more active run. Answers whose runs are as many as may be instead, where that is so. */
export async function takeRoomForRun(
  collections: Collections,
  { owner, limits }: Counted,
  { session, writes: { counts } }: Counting,
): Promise<'principal' | 'tenant' | undefined> {
  const { tenantId, ownerId } = owner
  const { principalActiveRuns, tenantActiveRuns } = limits ?? {}
  const isActive = { endedAt: { $type: 'null' } } as const
  const count = (filter: { tenantId: string; ownerId?: string }, limit: number) =>
    collections.runs.countDocuments({ ...filter, ...isActive }, { session, limit })
  if (principalActiveRuns !== undefined) {
    const read = () => count({ tenantId, ownerId }, principalActiveRuns)
    const source = { read, guard: () => guard(collections, owner, session) }
    if (!(await counts.add(runsOf(owner), principalActiveRuns, source))) return 'principal'
  }
  if (tenantActiveRuns === undefined) return undefined
  // Without a guard: the starts of a whole tenant would go one after another.
  const source = { read: () => count({ tenantId }, tenantActiveRuns) }
  if (await counts.add(runsOfTenant(owner), tenantActiveRuns, source)) return undefined
  counts.subtract(runsOf(owner), 1)
  return 'tenant'
}

/** Counts `n` active runs less: those that {@link takeRoomForRun} has counted and that do not begin, or that have ended. */
export function leaveRoomForRuns(owner: Owner, n: number, { counts }: CollectedWrites): void {
  counts.subtract(runsOf(owner), n)
  counts.subtract(runsOfTenant(owner), n)
}

/** Counts one more session; false where the owner has as many as may be. */
export async function takeRoomForSession(
  collections: Collections,
  { owner, limits }: Counted,
  { session, writes: { counts } }: Counting,
): Promise<boolean> {
  const limit = limits?.principalSessions
  if (limit === undefined) return true
  const { tenantId, ownerId } = owner
  const read = () => collections.sessions.countDocuments({ tenantId, ownerId }, { session, limit })
  const of = JSON.stringify(['sessions', tenantId, ownerId])
  return await counts.add(of, limit, { read, guard: () => guard(collections, owner, session) })
}

function runsOf({ tenantId, ownerId }: Owner): string {
  return JSON.stringify(['runs', tenantId, ownerId])
}

function runsOfTenant({ tenantId }: Owner): string {
  return JSON.stringify(['runs', tenantId])
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
 * Where a transaction waits for its turn: those of an owner whose guard they write go one after another. Starts need not, since they share
 * a transaction.
 */
export function placeOf(
  owner: Owner,
  { sessionId, limits }: { sessionId: SessionId; limits?: StoredLimits | undefined },
): Place {
  const isGuarded = limits?.principalActiveRuns !== undefined || limits?.principalSessions !== undefined
  return { owner, sessionId, isGuarded }
}
