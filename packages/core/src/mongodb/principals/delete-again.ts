import { ownerOf } from '../../contract/principal.ts'
import { retryRequest } from '../driver/retry.ts'
import { beginErasure } from './erase-principal.ts'
import type { SessionDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'
import { notDeleted } from '../transitions/admit-run.ts'
import { storeTombstone } from '../transitions/delete-session.ts'

/** The part of a row of the audit that names what was deleted. */
export interface DeletionReceipt {
  readonly action: string
  /** Key of the session or of the principal. */
  readonly target: string | null
}

type LiveSession = Required<Pick<SessionDocument, '_id' | 'tenantId' | 'ownerId' | 'id'>>

/**
 * Repeats deletions and erasures in a database that was restored from a backup of before them. It marks what is to go; the sweep of any
 * server removes it. Safe to repeat. Reads the list of sessions once, and holds no more than the receipts.
 */
export async function deleteAgain(storage: MongoContext, receipts: Iterable<DeletionReceipt>): Promise<number> {
  const [deleted, erased] = [new Set<string>(), new Set<string>()]
  for (const { action, target } of receipts) {
    if (target !== null && action === 'session_deleted') deleted.add(target)
    if (target !== null && action === 'principal_erased') erased.add(target)
  }
  let sessions = 0
  const projection = { tenantId: 1, ownerId: 1, id: 1 }
  for await (const session of storage.collections.sessions.find(notDeleted).project<LiveSession>(projection)) {
    const owner = ownerOf({ tenantId: session.tenantId, userId: session.ownerId, scopes: [] })
    const isErased = erased.has(principalKeyOf(owner))
    if (!isErased && !deleted.has(session._id)) continue
    sessions += 1
    await retryRequest(() => storeTombstone(storage, owner, { sessionId: session.id }))
    if (!isErased) continue
    // Removes the rest of the user: all of it, once for all sessions.
    await retryRequest(() => beginErasure(storage, owner, { id: crypto.randomUUID(), requestedBy: owner }))
  }
  return sessions
}
