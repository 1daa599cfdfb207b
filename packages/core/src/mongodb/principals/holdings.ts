/**
 * What each collection holds of a principal. Export and erasure go by this list, so a collection that is missing from it does not
 * compile, and one that is listed is neither left out nor left behind.
 */
import type { Collection, Filter } from 'mongodb'
import type { ExportItem } from '../../contract/principal-data.ts'
import type { Owner } from '../../contract/principal.ts'
import { toAuditEntry } from '../schema/audit-rows.ts'
import type { AttachmentDocument, AuditDocument, Collections, LedgerDocument } from '../schema/collections.ts'
import type { ContentCipher } from '../schema/content-cipher.ts'
import { toAttachment } from '../schema/documents.ts'
import { ledgerOf } from '../schema/ledger-keys.ts'

/** A document of any collection whose rows are the owner's one by one. */
export interface Row {
  readonly _id: string
}

type Holding =
  /** What belongs to a session: exported after the session's own line, and erased with the session. */
  | { readonly type: 'with_sessions' }
  /** Rows of the owner: an erasure removes them. */
  | ({ readonly type: 'rows' } & OwnRows)
  /** Rows with bytes elsewhere: an erasure removes both (see `removeAttachments`). */
  | ({ readonly type: 'with_bytes' } & OwnRows)
  /** Rows that outlive the owner: an erasure takes the owner's name out of them (see `removeNames`). */
  | ({ readonly type: 'names' } & OwnRows)
  /** No personal data, or none that outlives an erasure. */
  | { readonly type: 'nothing'; readonly because: string }

interface OwnRows {
  readonly filterOf: (owner: Owner) => Filter<Row>
  readonly toItem: (row: Row, owner: Owner, cipher: ContentCipher) => ExportItem | Promise<ExportItem>
}

/** The list. */
export const holdings: Readonly<Record<keyof Collections, Holding>> = {
  sessions: { type: 'with_sessions' },
  messages: { type: 'with_sessions' },
  agentStates: { type: 'with_sessions' },
  runs: { type: 'with_sessions' },
  runEvents: { type: 'with_sessions' },
  runArchives: { type: 'with_sessions' },
  attachments: {
    type: 'with_bytes',
    filterOf: (owner) => attachmentsOf(owner) as Filter<Row>,
    toItem: toAttachmentItem,
  },
  looseBytes: {
    type: 'nothing',
    because: 'its keys are hashes of the owner; an erasure removes the bytes that they name',
  },
  attachmentBytesFiles: { type: 'nothing', because: 'they go with the rows of attachments and loose bytes' },
  attachmentBytesChunks: { type: 'nothing', because: 'they go with the rows of attachments and loose bytes' },
  audit: { type: 'names', filterOf: (owner) => auditOf(owner) as Filter<Row>, toItem: toAuditItem },
  usageLedger: { type: 'rows', filterOf: (owner) => ledgerOf(owner) as unknown as Filter<Row>, toItem: toUsageItem },
  ownerGuards: { type: 'nothing', because: 'its key is a hash of the owner, and it holds a counter without meaning' },
  erasures: { type: 'nothing', because: 'it names the principal while the erasure goes on, and goes with its end' },
  schema: { type: 'nothing', because: 'it holds a version' },
}

/** The collections with rows of the owner, with what makes lines of them. */
export function* rowHoldings(collections: Collections) {
  for (const [name, holding] of Object.entries(holdings)) {
    if (!('filterOf' in holding)) continue
    const rows = collections[name as keyof Collections] as unknown as Collection<Row> // the list's keys are the collections' own
    yield { name, rows, ...holding }
  }
}

/** The rows of what `owner` did, and of what was done with the owner's data. */
export function auditOf({ tenantId, ownerId }: Owner): Filter<AuditDocument> {
  return {
    $or: [
      { actor: { $eq: ownerId }, tenantId: { $eq: tenantId } },
      { actor: { $eq: ownerId }, actorTenantId: { $eq: tenantId } },
      { subject: { $eq: ownerId }, tenantId: { $eq: tenantId } },
    ],
  }
}

function toAuditItem(row: Row, { tenantId, ownerId }: Owner): ExportItem {
  const entry = toAuditEntry(row as AuditDocument) // of the collection that this stands for
  const isOwn = entry.actor?.tenantId === tenantId && entry.actor.userId === ownerId
  const subject = entry.subject === ownerId ? ownerId : null
  // The file goes to the user: other users' names, and what they have, are not the user's data.
  const isForeign = entry.action === 'foreign_id' && subject === null
  const target = isForeign ? null : entry.target
  return { type: 'audit', entry: { ...entry, actor: isOwn ? entry.actor : null, subject, target } }
}

function attachmentsOf({ tenantId, ownerId }: Owner): Filter<AttachmentDocument> {
  return { tenantId: { $eq: tenantId }, ownerId: { $eq: ownerId } }
}

async function toAttachmentItem(row: Row, _owner: Owner, cipher: ContentCipher): Promise<ExportItem> {
  return { type: 'attachment', attachment: await toAttachment(cipher, row as AttachmentDocument) } // of the collection that this stands for
}

/** One process's count of a day. */
function toUsageItem(row: Row): ExportItem {
  const { _id, tokens, costUsd } = row as unknown as LedgerDocument // of the collection that this stands for
  return { type: 'usage', day: _id.d, tokens, costUsd }
}
