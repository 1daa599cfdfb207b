import type { Owner } from '../../contract/principal.ts'
import { firstFence } from '../../ports/run-repository.ts'
import type { EngineEvent } from '../../contract/event.ts'
import type { LinkedRun, NewRun, RepeatedRun } from '../../ports/run-repository.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import type { Collections, MessageDocument, RunDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { toEventsDocument } from '../schema/documents.ts'
import { messageKeyOf, runKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import type { StoredContent, StoredJson } from '../schema/stored-json.ts'
import type { NamedAttachments } from './bind-attachments.ts'

/** `startId` tells a repeated attempt that an earlier one, whose answer was lost, has stored the run. */
export type Start = NewRun & { readonly startId: string }

/** A run before its insert. */
export type NewRunDocument = Omit<RunDocument, 'lease'>

export interface Beginning {
  readonly owner: Owner
  readonly run: NewRunDocument
  /** Absent while the run waits; the database writes when it was renewed. */
  readonly lease?: { readonly processId: string; readonly ms: number }
  /** The user message, when the transaction inserts it. */
  readonly message?: {
    readonly prompt: StoredContent
    readonly input?: StoredJson | undefined
    readonly seq: number
    readonly named?: NamedAttachments
  }
  /** The event at seq 1. */
  readonly event: EngineEvent
}

/** Stores a run that begins or waits: its document, its user message, its first event. The keys of all three refuse a second beginning. */
export function storeBeginning(
  { collections }: Pick<MongoContext, 'collections'>,
  { owner, run, lease, message, event }: Beginning,
  writes: CollectedWrites,
): void {
  insertRun(collections.runs, { run, lease }, writes)
  if (message !== undefined) {
    const document = userMessageOf(owner, run, { ...message, createdAt: run.createdAt })
    writes.insert(collections.messages, document)
  }
  const entry = { key: run._id, firstSeq: 1, batchId: run.startId, events: [event] }
  writes.insert(collections.runEvents, toEventsDocument(entry))
}

type RunSeed = Pick<
  Start,
  | 'runId'
  | 'sessionId'
  | 'agentId'
  | 'userMessageId'
  | 'messageId'
  | 'inputHash'
  | 'startId'
  | 'processId'
  | 'isInline'
  | 'editOf'
  | 'traceparent'
> &
  Partial<Pick<LinkedRun, 'continuationOf' | 'continuationUsage'> & Pick<RepeatedRun, 'retryOf'>>

/** A run that begins at once. */
export function newRunDocument(owner: Owner, start: RunSeed, now: Date): NewRunDocument {
  const { continuationOf, continuationUsage, retryOf, editOf, traceparent } = start
  return {
    _id: runKeyOf(owner, start.runId),
    s: sessionKeyOf(owner, start.sessionId),
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id: start.runId,
    sessionId: start.sessionId,
    agentId: start.agentId,
    status: 'running',
    inputHash: start.inputHash,
    startId: start.startId,
    userMessageId: start.userMessageId,
    messageId: start.messageId,
    ...(start.isInline === true ? { inlineProcessId: start.processId } : {}),
    fence: firstFence,
    cancelRequestedAt: null,
    lastSeq: null,
    error: null,
    metrics: null,
    ...(continuationOf === undefined ? {} : { continuationOf }),
    ...(continuationUsage === undefined ? {} : { continuationUsage }),
    ...(retryOf === undefined ? {} : { retryOf }),
    ...(editOf === undefined ? {} : { editOf }),
    ...(traceparent === undefined ? {} : { traceparent }),
    createdAt: now,
    endedAt: null,
    v: 1,
  }
}

/** With a lease an upsert, because `$currentDate` is the database's clock, which leases are measured by; such a run has no prompt. */
function insertRun(
  runs: Collections['runs'],
  { run, lease }: { run: NewRunDocument; lease: Beginning['lease'] },
  writes: CollectedWrites,
): void {
  if (lease === undefined) return writes.insert(runs, run)
  const { _id, startId, ...rest } = run
  const update = {
    $setOnInsert: { ...rest, 'lease.processId': lease.processId, 'lease.ms': lease.ms },
    $currentDate: { 'lease.renewedAt': true as const },
  }
  writes.update(runs, { filter: { _id, startId }, update, upsert: true })
}

/** The message that a run answers, at its place in the session. */
export function userMessageOf(
  owner: Owner,
  run: Pick<RunDocument, 's' | 'id' | 'sessionId' | 'userMessageId' | 'continuationOf' | 'editOf'>,
  at: {
    prompt: StoredContent
    input?: StoredJson | undefined
    seq: number
    createdAt: Date
    named?: NamedAttachments | undefined
  },
): MessageDocument {
  return {
    _id: messageKeyOf(owner, run.sessionId, run.userMessageId),
    s: run.s,
    b: 'main',
    seq: at.seq,
    id: run.userMessageId,
    sessionId: run.sessionId,
    role: 'user',
    content: at.prompt,
    ...(at.input === undefined ? {} : { input: at.input }),
    ...at.named,
    status: 'completed',
    agentId: null,
    runId: run.id,
    ...(run.continuationOf === undefined ? {} : { continuationOf: run.continuationOf }),
    ...(run.editOf === undefined ? {} : { editOf: run.editOf }),
    metrics: null,
    createdAt: at.createdAt,
    v: 1,
  }
}
