/** Rows of the audit as documents and as the contract's entries. Every row passes here, so that a listener misses none. */
import type { AuditEntry } from '../../contract/audit.ts'
import type { AuditListener } from '../../ports/audit.ts'
import type { AuditDocument } from './collections.ts'

/** Who receives the rows that this process stores. */
export type AuditListeners = Set<AuditListener>

export function toAuditDocument({ id, actor, subject, address, count, at, ...entry }: AuditEntry): AuditDocument {
  const { action, tenantId, target, counts, reasons } = entry
  return {
    _id: id,
    tenantId,
    actor: actor?.userId ?? null,
    ...(actor === null || actor.tenantId === tenantId ? {} : { actorTenantId: actor.tenantId }),
    ...(subject === null ? {} : { subject }),
    action,
    target,
    ...(address === null ? {} : { address }),
    ...(count === 1 ? {} : { count }),
    counts,
    ...(reasons === undefined ? {} : { reasons }),
    at: new Date(at),
    v: 1,
  }
}

export function toAuditEntry(document: AuditDocument): AuditEntry {
  const { tenantId, actor, actorTenantId = tenantId } = document
  return {
    id: document._id,
    action: document.action,
    at: document.at.toISOString(),
    count: document.count ?? 1,
    tenantId,
    actor: actor === null || actorTenantId === null ? null : { tenantId: actorTenantId, userId: actor },
    subject: document.subject ?? null,
    target: document.target,
    address: document.address ?? null,
    counts: document.counts,
    ...(document.reasons === undefined ? {} : { reasons: [...document.reasons] }),
  }
}

/** Hands rows on that are stored. A listener's fault is its own: the row is stored all the same. */
export function announce(listeners: AuditListeners, documents: readonly AuditDocument[]): void {
  for (const document of documents) for (const listener of listeners) listener(toAuditEntry(document))
}
