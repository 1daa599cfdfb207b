import type { ContentBlock } from '../contract/content-block.ts'
import type { AgentId, MessageId, SessionId } from '../contract/identifiers.ts'
import type { Message, MessageRole, MessageStatus } from '../contract/message.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { Page } from '../contract/page.ts'
import type { Owner } from '../contract/principal.ts'
import type { Session } from '../contract/session.ts'
import type { StoredLimits } from './run-repository.ts'

/** Which page of a list: where the page before ended, and how many items at most. */
export interface PageRequest {
  readonly cursor?: string | null | undefined
  readonly limit: number
}

/** Which messages of a session. */
export interface MessagesRequest extends PageRequest {
  readonly order: 'oldest' | 'newest'
  readonly upToSeq?: number
  /** The page ends before the message that takes it past so many bytes; it holds one at least. @default `maxPageBytes` of the contract */
  readonly maxBytes?: number
  /** The read sees all that was confirmed before the call, also right after an election; costs one more round trip. */
  readonly isLinearizable?: boolean
}

/** A message to append without a run. */
export interface NewMessage {
  readonly sessionId: SessionId
  readonly messageId: MessageId
  readonly role: MessageRole
  readonly content: readonly ContentBlock[]
  readonly agentId: AgentId | null
  readonly metrics: RunMetrics | null
  readonly status: MessageStatus
  /** Append only when the session has exactly this many messages. */
  readonly expectedHead?: number | undefined
  readonly limits?: StoredLimits | undefined
}

/** What takes the place of a message's words. */
export interface Redaction {
  readonly sessionId: SessionId
  readonly messageId: MessageId
  readonly content: readonly ContentBlock[]
  readonly reasons: readonly string[]
}

/** Sessions and their messages. Every call takes the owner; another owner's documents count as missing. */
export interface SessionRepository {
  /** The owner's session of this id, made when it is new. @throws VerbatimError `RATE_LIMITED` */
  createSession(
    owner: Owner,
    session: { sessionId: SessionId; title: string | null; limits?: StoredLimits | undefined },
  ): Promise<Session>
  /** @throws VerbatimError `SESSION_DELETED`, as every call that finds a deleted session */
  getSession(owner: Owner, sessionId: SessionId): Promise<Session | undefined>
  /** Newest activity first. @throws VerbatimError `INVALID_CURSOR` */
  listSessions(owner: Owner, page: PageRequest): Promise<Page<Session>>
  renameSession(owner: Owner, sessionId: SessionId, title: string | null): Promise<Session | undefined>
  /**
   * Appends a message; the session is made when it is new. The same `messageId` with the same message again is the same message.
   *
   * @throws VerbatimError `SESSION_BUSY`, `HEAD_MOVED`, `MESSAGE_ID_REUSED`, `RATE_LIMITED`, `UNAVAILABLE`
   */
  appendMessage(owner: Owner, message: NewMessage): Promise<Message>
  /**
   * Replaces the words of a message in place, with the files and the JSON that it had beside them; the audit has the reasons.
   *
   * @throws VerbatimError `INVALID_INPUT` for the answer of a run, `UNAVAILABLE`
   */
  redactMessage(owner: Owner, redaction: Redaction): Promise<Message | undefined>
  getMessage(owner: Owner, sessionId: SessionId, messageId: MessageId): Promise<Message | undefined>
  /** Messages of a session in the requested order, up to `upToSeq`. @throws VerbatimError `INVALID_CURSOR` */
  listMessages(owner: Owner, sessionId: SessionId, request: MessagesRequest): Promise<Page<Message>>
}
