/** The shapes of what is stored (an overview is in docs/architecture.md) and the indexes that `migrate` makes. */
import type { Collection, CreateCollectionOptions, Db, IndexDescription } from 'mongodb'
import type { AuditAction } from '../../contract/audit.ts'
import type { WireError } from '../../contract/errors.ts'
import type { AgentId, MessageId, RunId, SessionId } from '../../contract/identifiers.ts'
import type { MessageRole, MessageStatus } from '../../contract/message.ts'
import type { RunMetrics } from '../../contract/metrics.ts'
import type { RunStatus } from '../../contract/run.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { PrincipalKey } from '../../ports/principal-repository.ts'
import type { ContinuationUsage } from '../../ports/run-repository.ts'
import type { MessageKey } from './owner-keys.ts'
import type { StoredContent, StoredItem, StoredJson, StoredTitle } from './stored-json.ts'

export interface SessionDocument {
  _id: SessionKey
  tenantId: string
  ownerId: string
  id: SessionId
  title: StoredTitle
  /** Seq of the newest message; 0 when there is none. */
  head: number
  /** The run that is being made. Null only when none waits either. */
  activeRunId: RunId | null
  /** The runs that wait, in the order of their admission; bounded by `maxQueuedRuns`, absent until one waits. */
  queue?: RunId[]
  createdAt: Date
  updatedAt: Date
  /** Set by a deletion, which removes every field that is not named below. The document stays, so that its id is not used again. */
  deletedAt?: Date
  /** Of a deleted session while something of it is still stored. */
  purge?: Purge
  v: 1
}

/** What a deletion needs for its receipt. */
export interface Purge {
  tenantId: string
  /** Who deleted the session; null when its retention was over. */
  actor: string | null
  /** The erasure that the session goes with: its receipt counts this session too, and there is none for the session alone. */
  erasure?: PrincipalKey
  /** Taken once, before anything is removed, so that a removal that is interrupted and goes on counts nothing twice. */
  counts?: DeletedCounts
}

/** `events` are all that the runs ever had, those that had expired before included. */
export interface DeletedCounts {
  runs: number
  messages: number
  events: number
}

export interface MessageDocument {
  _id: MessageKey
  s: SessionKey
  b: 'main'
  seq: number
  id: MessageId
  sessionId: SessionId
  role: MessageRole
  content: StoredContent
  /** Of a prompt, only where there is one. */
  input?: StoredJson
  status: MessageStatus
  agentId: AgentId | null
  runId: RunId | null
  /** Only where there is one. */
  continuationOf?: RunId
  retryOf?: RunId
  output?: StoredJson
  metrics: RunMetrics | null
  createdAt: Date
  v: 1
}

export interface RunDocument {
  _id: RunKey
  s: SessionKey
  tenantId: string
  ownerId: string
  id: RunId
  sessionId: SessionId
  agentId: AgentId
  /** `deleted`: the key is all that is left, and this status, so that the id is not used again. */
  status: RunStatus | 'deleted'
  inputHash: string
  /** Made anew by each call of `startRun`, and the batch id of a promotion: tells "my earlier attempt landed" from "this run was there before". */
  startId: string
  userMessageId: MessageId
  messageId: MessageId
  /** While the run is queued; then the user message has it. */
  prompt?: StoredContent
  /** As `prompt`, where there is one. */
  input?: StoredJson
  /**
   * The process that writes the run; absent while the run waits. Written by the database's clock only; expired when it was not
   * renewed for `ms`.
   */
  lease?: { processId: string; ms: number; renewedAt: Date }
  /** Of a run whose agent was made for it: the one process that has the agent. */
  inlineProcessId?: string
  fence: number
  cancelRequestedAt: Date | null
  lastSeq: number | null
  error: WireError | null
  metrics: RunMetrics | null
  /** Only where there is one. */
  continuationOf?: RunId
  continuedBy?: RunId
  retryOf?: RunId
  /** Of a run that goes on from another one. */
  continuationUsage?: ContinuationUsage
  createdAt: Date
  endedAt: Date | null
  /** Set with the run's end, gone when its events are archived. */
  toArchive?: true
  /** When what is left of the run's events is to be removed; gone when that is done. */
  sweepAt?: Date
  v: 1
}

/** One commit's events of one run; `n` is the first one's seq, so the key is also the order. */
export interface EventsDocument {
  _id: { r: RunKey; n: number }
  /** Id of the batch, see `LogEntry`. */
  b: string
  /** Empty once the run is deleted: then only the key is kept, which no zombie may take. */
  e: StoredItem[]
  /** Absent in version 1, which all are so far. A server that stores newer events raises `v` of their run, too. */
  v?: number
}

/** Events of an ended run, as many as fit; `n` is the first one's seq. The same events under the same seqs as in the log. */
export interface ArchiveDocument {
  _id: { r: RunKey; n: number }
  e: StoredItem[]
  expiresAt: Date
  /** Absent in version 1, which all are so far. */
  v?: number
}

/** A row of the audit, without a word of what it is about. A counted row grows for a minute; after that nothing changes but names, see an erasure. */
export interface AuditDocument {
  _id: string
  /** Whose operators may read it; null for operators of all tenants only. */
  tenantId: string | null
  /** Who did it; null for what the server does by itself, and for unknown callers. */
  actor: string | null
  /** Of an actor of another tenant than `tenantId`. */
  actorTenantId?: string
  /** The user whose data it concerns; of a deletion it is the actor. */
  subject?: string
  action: AuditAction
  /** The session's key, made from its owner and id, or an id that was asked for; null where there are many. */
  target: string | null
  address?: string
  /** Once when left out. */
  count?: number
  counts: Readonly<Record<string, number>> | null
  at: Date
  /** Of an erasure, which ended at `at`. */
  requestedAt?: Date
  v: 1
}

/** An erasure that goes on. While it is there, no session of the owner can be made. It goes when the receipt is stored. */
export interface ErasureDocument {
  _id: PrincipalKey
  id: string
  tenantId: string
  ownerId: string
  /** Null when the owner asked for it. */
  requestedBy: string | null
  /** Of one of another tenant. */
  requestedByTenantId?: string
  requestedAt: Date
  /** When no late write can land any more; set after everything was removed once. */
  settleAt?: Date
  /** What is removed, by kind; each part is counted in the transaction that removes it, or closes it. */
  counts: Record<string, number>
  v: 1
}

/** Written by every transaction that counts what an owner has before it stores more, so that two such transactions meet. */
interface OwnerGuardDocument {
  _id: PrincipalKey
  n: number
}

/** What one writer has counted on one day, for a principal or (`o` is null) a tenant; `d` is the day in UTC. */
export interface LedgerDocument {
  _id: { t: string; o: string | null; d: string; p: string }
  tokens: number
  costUsd: number
  expiresAt: Date
  v: 1
}

export interface Collections {
  readonly sessions: Collection<SessionDocument>
  readonly messages: Collection<MessageDocument>
  readonly runs: Collection<RunDocument>
  readonly runEvents: Collection<EventsDocument>
  readonly runArchives: Collection<ArchiveDocument>
  readonly audit: Collection<AuditDocument>
  readonly erasures: Collection<ErasureDocument>
  readonly usageLedger: Collection<LedgerDocument>
  readonly ownerGuards: Collection<OwnerGuardDocument>
  readonly schema: Collection<SchemaDocument>
}

/** One document: the newest version of documents that a server has stored here, or may. */
export interface SchemaDocument {
  _id: 'schema'
  version: number
}

export function collectionsOf(db: Db): Collections {
  return {
    sessions: db.collection('sessions'),
    messages: db.collection('messages'),
    runs: db.collection('runs'),
    runEvents: db.collection('run_events'),
    runArchives: db.collection('run_archives'),
    audit: db.collection('audit'),
    erasures: db.collection('erasures'),
    usageLedger: db.collection('usage_ledger'),
    ownerGuards: db.collection('owner_guards'),
    schema: db.collection('schema'),
  }
}

export interface CollectionPlan {
  readonly name: string
  readonly options: CreateCollectionOptions
  readonly indexes: readonly IndexDescription[]
}

/** Indexes of earlier versions, by collection. */
export const obsoleteIndexes: Readonly<Record<string, readonly string[]>> = { runs: ['offered_by_lease'] }

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
    ],
  },
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
    ],
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
