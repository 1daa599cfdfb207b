/** Erasures as the contract's receipts: from the document while one goes on, and from the audit's row after that. */
import type { Erasure } from '../../contract/principal-data.ts'
import type { AuditDocument, ErasureDocument } from '../schema/collections.ts'

export function inProgress({ id, settleAt, requestedAt, requestedBy, counts }: ErasureDocument): Erasure {
  const status = settleAt === undefined ? 'erasing' : 'settling'
  return { id, status, requestedAt: requestedAt.toISOString(), requestedBy, erasedAt: null, counts }
}

export function toReceipt({ _id, actor, at, requestedAt = at, counts }: AuditDocument): Erasure {
  return {
    id: _id.slice(_id.lastIndexOf(':') + 1),
    status: 'erased',
    requestedAt: requestedAt.toISOString(),
    requestedBy: actor,
    erasedAt: at.toISOString(),
    counts: { ...counts },
  }
}
