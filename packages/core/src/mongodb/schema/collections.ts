/** The shapes of what is stored; an overview is in docs/architecture.md. */
import type { Binary, Collection, Db, ObjectId } from 'mongodb'
import type { AgentStateName } from '../../contract/agent-state.ts'
import type { AuditAction } from '../../contract/audit.ts'
import type { WireError } from '../../contract/errors.ts'
import type { AgentId, AttachmentId, MessageId, RunId, SessionId } from '../../contract/identifiers.ts'
import type { MessageRole, MessageStatus } from '../../contract/message.ts'
import type { RunMetrics } from '../../contract/metrics.ts'
import type { RunStatus } from '../../contract/run.ts'
import type { BytesKey } from '../../ports/attachment-store.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { PrincipalKey } from '../../ports/principal-repository.ts'
import type { ContinuationUsage } from '../../ports/run-repository.ts'
import type { AgentStateKey, AttachmentKey, MessageKey } from './owner-keys.ts'
import type { StoredContent, StoredDetails, StoredItem, StoredJson, StoredTitle } from './stored-json.ts'

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
  /** Raised by every statement that changes the session; absent before the first change. */
  rev?: number
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
  /** Those that the content names; only where there are some. A file lives while a message or a waiting run has it here. */
  attachments?: readonly AttachmentKey[]
  status: MessageStatus
  agentId: AgentId | null
  runId: RunId | null
  /** Only where there is one. */
  continuationOf?: RunId
  retryOf?: RunId
  editOf?: RunId
  output?: StoredJson
  /** Of an answer, where something was emitted: the newest of each name and id. */
  data?: StoredJson
  metrics: RunMetrics | null
  createdAt: Date
  v: 1
}

/** What an agent keeps of a session beside its messages. */
export interface AgentStateDocument {
  _id: AgentStateKey
  s: SessionKey
  name: AgentStateName
  sessionId: SessionId
  /** From 1; a writer replaces only the revision that it has read. */
  rev: number
  /** Of the call that has stored it, see `writeId` of agent-states.ts. */
  writeId: string
  state: StoredJson
  updatedAt: Date
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
  /** Those that the prompt names, while the run is queued. */
  attachments?: readonly AttachmentKey[]
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
  editOf?: RunId
  /** Of a run that goes on from another one. */
  continuationUsage?: ContinuationUsage
  /** The caller's trace, where there is telemetry and the caller has one. */
  traceparent?: string
  createdAt: Date
  endedAt: Date | null
  /** Set with the run's end, gone when its events are archived. */
  toArchive?: true
  /** When what is left of the run's events is to be removed; gone when that is done. */
  sweepAt?: Date
  v: 1
}

/** A file: what is known of it, and where its bytes are. */
export interface AttachmentDocument {
  _id: AttachmentKey
  tenantId: string
  ownerId: string
  id: AttachmentId
  details: StoredDetails
  mediaType: string
  sizeBytes: number
  pages: number | null
  bytes: BytesKey
  /** The key that has sealed the bytes; absent when they are in clear. */
  sealedWith?: string
  /** Raised by each transaction that stores a name of the file, so that it meets one that removes the file. */
  bindings: number
  /** When to look whether a message names the file. Absent while one does. */
  sweepAt?: Date
  createdAt: Date
  v: 1
}

/**
 * Bytes that no attachment has: of an upload that goes on, or of a file that was removed. They go at `sweepAt`. So all bytes belong to
 * one document of `attachments` or one of these, whatever dies.
 */
export interface LooseBytesDocument {
  _id: BytesKey
  sweepAt: Date
  /** They are being removed: an upload that goes on must not become an attachment. */
  isVoid?: true
}

/** GridFS: the bytes under one key. */
interface BytesFileDocument {
  _id: BytesKey
  length: number
  chunkSize: number
  uploadDate: Date
  /** The key once more: a user's own name for the file is content. */
  filename: string
}

/** GridFS: a part of the bytes. */
export interface BytesChunkDocument {
  _id: ObjectId
  files_id: BytesKey
  n: number
  data: Binary
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
  /** Of a redaction, where the caller gave some. */
  reasons?: readonly string[]
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
  readonly agentStates: Collection<AgentStateDocument>
  readonly runs: Collection<RunDocument>
  readonly runEvents: Collection<EventsDocument>
  readonly runArchives: Collection<ArchiveDocument>
  readonly attachments: Collection<AttachmentDocument>
  readonly looseBytes: Collection<LooseBytesDocument>
  readonly attachmentBytesFiles: Collection<BytesFileDocument>
  readonly attachmentBytesChunks: Collection<BytesChunkDocument>
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
    agentStates: db.collection('agent_states'),
    runs: db.collection('runs'),
    runEvents: db.collection('run_events'),
    runArchives: db.collection('run_archives'),
    attachments: db.collection('attachments'),
    looseBytes: db.collection('loose_bytes'),
    attachmentBytesFiles: db.collection('attachment_bytes.files'),
    attachmentBytesChunks: db.collection('attachment_bytes.chunks'),
    audit: db.collection('audit'),
    erasures: db.collection('erasures'),
    usageLedger: db.collection('usage_ledger'),
    ownerGuards: db.collection('owner_guards'),
    schema: db.collection('schema'),
  }
}
