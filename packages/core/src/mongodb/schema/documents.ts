/** Stored documents as the contract's nouns. */
import type { AgentState } from '../../contract/agent-state.ts'
import type { Attachment } from '../../contract/attachment.ts'
import type { DataPart } from '../../contract/data-part.ts'
import type { Message } from '../../contract/message.ts'
import { errorOf } from '../../contract/errors.ts'
import { ownerOf } from '../../contract/principal.ts'
import type { Run } from '../../contract/run.ts'
import type { Session } from '../../contract/session.ts'
import type { EngineEvent } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ContinuationUsage, OwnedRun } from '../../ports/run-repository.ts'
import type {
  AgentStateDocument,
  AttachmentDocument,
  EventsDocument,
  MessageDocument,
  RunDocument,
  SessionDocument,
} from './collections.ts'
import type { ContentCipher } from './content-cipher.ts'
import { sessionKeyOf } from './owner-keys.ts'
import { toStoredEvents } from './stored-json.ts'
import type { StoredJson, StoredTitle } from './stored-json.ts'
import { requireKnown } from './version.ts'

/** @throws VerbatimError `SESSION_DELETED`, `UNSUPPORTED_VERSION` */
export async function toSession(cipher: ContentCipher, document: SessionDocument): Promise<Session> {
  requireKnown(document)
  if (document.deletedAt !== undefined) throw errorOf('SESSION_DELETED')
  return {
    id: document.id,
    title: await cipher.readTitle(document._id, document.title),
    activeRunId: document.activeRunId,
    queuedRunIds: document.queue ?? [],
    messageCount: document.head,
    revision: document.rev ?? 0,
    createdAt: document.createdAt.toISOString(),
    updatedAt: document.updatedAt.toISOString(),
  }
}

/** An entry of the log without a word of a person or a model. */
export interface EngineEntry {
  readonly key: RunKey
  readonly firstSeq: number
  readonly batchId: string
  readonly events: readonly EngineEvent[]
}

/** As it is stored: never sealed. */
export function toEventsDocument({ key, firstSeq, batchId, events }: EngineEntry): EventsDocument {
  return { _id: { r: key, n: firstSeq }, b: batchId, e: toStoredEvents(events) }
}

/** @throws VerbatimError `CONTENT_UNREADABLE`, `UNAVAILABLE`, `UNSUPPORTED_VERSION` */
export async function toMessage(cipher: ContentCipher, document: MessageDocument): Promise<Message> {
  requireKnown(document)
  const readJson = async (part: 'input' | 'output' | 'data', stored: StoredJson) =>
    await cipher.readJson({ part, of: document._id }, stored)
  return {
    id: document.id,
    sessionId: document.sessionId,
    seq: document.seq,
    role: document.role,
    content: await cipher.readContent(document._id, document.content),
    ...(document.input === undefined ? {} : { input: await readJson('input', document.input) }),
    status: document.status,
    agentId: document.agentId,
    runId: document.runId,
    continuationOf: document.continuationOf ?? null,
    retryOf: document.retryOf ?? null,
    ...(document.editOf === undefined ? {} : { editOf: document.editOf }),
    output: document.output === undefined ? null : await readJson('output', document.output),
    data: document.data === undefined ? [] : ((await readJson('data', document.data)) as DataPart[]), // stored by finishRun
    metrics: document.metrics,
    createdAt: document.createdAt.toISOString(),
  }
}

/** @throws VerbatimError `CONTENT_UNREADABLE`, `UNAVAILABLE`, `UNSUPPORTED_VERSION` */
export async function toAgentState(cipher: ContentCipher, document: AgentStateDocument): Promise<AgentState> {
  requireKnown(document)
  const { _id, sessionId, name, rev: revision, updatedAt } = document
  const state = await cipher.readJson({ part: 'state', of: _id }, document.state)
  return { sessionId, name, revision, state, updatedAt: updatedAt.toISOString() }
}

/** @throws VerbatimError `CONTENT_UNREADABLE`, `UNAVAILABLE`, `UNSUPPORTED_VERSION` */
export async function toAttachment(cipher: ContentCipher, document: AttachmentDocument): Promise<Attachment> {
  requireKnown(document)
  const { name, sha256 } = await cipher.readDetails(document._id, document.details)
  const { id, mediaType, sizeBytes, pages, createdAt } = document
  return { id, name, mediaType, sizeBytes, sha256, pages, createdAt: createdAt.toISOString() }
}

/** @throws VerbatimError `SESSION_DELETED` when only the run's key is left, `UNSUPPORTED_VERSION` */
export function toRun({ status, ...document }: Omit<RunDocument, 'lease'>): Run {
  requireKnown(document)
  if (status === 'deleted') throw errorOf('SESSION_DELETED')
  return {
    id: document.id,
    sessionId: document.sessionId,
    agentId: document.agentId,
    status,
    userMessageId: document.userMessageId,
    messageId: document.messageId,
    lastSeq: document.lastSeq,
    error: document.error,
    metrics: document.metrics,
    continuationOf: document.continuationOf ?? null,
    continuedBy: document.continuedBy ?? null,
    retryOf: document.retryOf ?? null,
    createdAt: document.createdAt.toISOString(),
    endedAt: document.endedAt?.toISOString() ?? null,
  }
}

export const noContinuationUsage: ContinuationUsage = { continuations: 0, outputTokens: 0, costUsd: 0 }

export function toOwnedRun(document: Omit<RunDocument, 'lease'>): OwnedRun {
  const owner = ownerOf({ tenantId: document.tenantId, userId: document.ownerId, scopes: [] })
  return {
    key: document._id,
    owner,
    run: toRun(document),
    fence: document.fence,
    isInline: document.inlineProcessId !== undefined,
    continuationUsage: document.continuationUsage ?? noContinuationUsage,
    ...(document.traceparent === undefined ? {} : { traceparent: document.traceparent }),
  }
}

/** `owned` with the title of its session, which is read when an agent needs it. */
export function withTitle(cipher: ContentCipher, owned: OwnedRun, title: StoredTitle): OwnedRun {
  const key = sessionKeyOf(owned.owner, owned.run.sessionId)
  return { ...owned, readTitle: async () => await cipher.readTitle(key, title) }
}
