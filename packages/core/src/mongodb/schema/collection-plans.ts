/** The collections and indexes that `migrate` makes. */
import type { CreateCollectionOptions, IndexDescription } from 'mongodb'

export interface CollectionPlan {
  readonly name: string
  readonly options: CreateCollectionOptions
  readonly indexes: readonly IndexDescription[]
}

/** Indexes of earlier versions, by collection. */
export const obsoleteIndexes: Readonly<Record<string, readonly string[]>> = { runs: ['offered_by_lease'] }

/** Finds what names a file; what names none is not in it. */
const namesAttachments: IndexDescription = {
  name: 'names_attachments',
  key: { attachments: 1 },
  partialFilterExpression: { attachments: { $exists: true } },
}

export const collectionPlans: readonly CollectionPlan[] = [
  {
    name: 'sessions',
    options: {},
    indexes: [
      { name: 'owner_newest', key: { tenantId: 1, ownerId: 1, updatedAt: -1, _id: -1 } },
      // The order of an export: it never changes, as that of the lists does.
      { name: 'owner_all', key: { tenantId: 1, ownerId: 1, _id: 1 } },
      {
        name: 'of_erasure',
        key: { 'purge.erasure': 1, _id: 1 },
        partialFilterExpression: { 'purge.erasure': { $exists: true } },
      },
      // Finds an id that another owner has, for the audit; a tombstone has none.
      { name: 'by_id', key: { id: 1 }, partialFilterExpression: { id: { $exists: true } } },
      { name: 'to_purge', key: { deletedAt: 1 }, partialFilterExpression: { purge: { $exists: true } } },
    ],
  },
  {
    name: 'messages',
    options: {},
    indexes: [
      { name: 'session_order', key: { s: 1, b: 1, seq: 1 }, unique: true },
      // For retention; the newest message is always at its end, so an insert costs little.
      { name: 'by_age', key: { createdAt: 1, _id: 1 } },
      namesAttachments,
    ],
  },
  { name: 'agent_states', options: {}, indexes: [{ name: 'of_session', key: { s: 1, _id: 1 } }] },
  {
    name: 'runs',
    options: {},
    indexes: [
      { name: 'session_newest', key: { s: 1, createdAt: -1, _id: -1 } },
      { name: 'by_id', key: { id: 1 }, partialFilterExpression: { id: { $exists: true } } },
      {
        name: 'running_by_lease',
        key: { 'lease.renewedAt': 1 },
        partialFilterExpression: { status: 'running' },
      },
      {
        // Holds only runs that are about to end, so looking into it every second costs next to nothing.
        name: 'cancel_requested',
        key: { 'lease.processId': 1 },
        partialFilterExpression: { status: 'running', cancelRequestedAt: { $type: 'date' } },
      },
      // Holds only runs that have not ended, for the limits of a principal and of a tenant.
      {
        name: 'active_of_owner',
        key: { tenantId: 1, ownerId: 1 },
        partialFilterExpression: { endedAt: { $type: 'null' } },
      },
      { name: 'to_sweep', key: { sweepAt: 1 }, partialFilterExpression: { sweepAt: { $exists: true } } },
      { name: 'to_archive', key: { endedAt: 1 }, partialFilterExpression: { toArchive: true } },
      namesAttachments,
    ],
  },
  {
    name: 'attachments',
    options: {},
    indexes: [
      // Also the sum of an owner's bytes: it reads no document.
      { name: 'of_owner', key: { tenantId: 1, ownerId: 1, _id: 1, sizeBytes: 1 } },
      { name: 'by_id', key: { id: 1 } },
      { name: 'to_sweep', key: { sweepAt: 1 }, partialFilterExpression: { sweepAt: { $exists: true } } },
    ],
  },
  { name: 'loose_bytes', options: {}, indexes: [{ name: 'to_sweep', key: { sweepAt: 1 } }] },
  // GridFS has these two indexes, under these names; a driver that finds them makes none.
  {
    name: 'attachment_bytes.files',
    options: {},
    indexes: [{ name: 'filename_1_uploadDate_1', key: { filename: 1, uploadDate: 1 } }],
  },
  {
    name: 'attachment_bytes.chunks',
    options: {},
    indexes: [{ name: 'files_id_1_n_1', key: { files_id: 1, n: 1 }, unique: true }],
  },
  {
    name: 'run_archives',
    options: {},
    indexes: [{ name: 'expiry', key: { expiresAt: 1 }, expireAfterSeconds: 0 }],
  },
  {
    name: 'audit',
    options: {},
    indexes: [
      { name: 'newest', key: { at: -1, _id: -1 } },
      { name: 'tenant_newest', key: { tenantId: 1, at: -1, _id: -1 } },
      { name: 'of_actor', key: { actor: 1 }, partialFilterExpression: { actor: { $type: 'string' } } },
      { name: 'of_subject', key: { subject: 1 }, partialFilterExpression: { subject: { $type: 'string' } } },
    ],
  },
  {
    name: 'erasures',
    options: {},
    indexes: [],
  },
  {
    name: 'schema',
    options: {},
    indexes: [],
  },
  {
    name: 'usage_ledger',
    options: {},
    indexes: [{ name: 'expiry', key: { expiresAt: 1 }, expireAfterSeconds: 0 }],
  },
  { name: 'owner_guards', options: {}, indexes: [] },
  {
    // Clustered: a run's events lie together on disk, and no second index is written on the hot path.
    name: 'run_events',
    options: { clusteredIndex: { key: { _id: 1 }, unique: true } },
    indexes: [],
  },
]
