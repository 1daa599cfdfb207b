/** What the engine offers to its callers: the API, or a program that embeds it. Wired in create-engine.ts. */
import type { AgentState, AgentStateName } from '../contract/agent-state.ts'
import type { JsonValue } from '../contract/json-value.ts'
import type { Attachment, AttachmentName } from '../contract/attachment.ts'
import type { AuditEntry } from '../contract/audit.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import type { ErrorCode } from '../contract/errors.ts'
import type { EventBatch } from '../contract/event.ts'
import type { AgentId, AttachmentId, MessageId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message, MessageRole, MessageStatus } from '../contract/message.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { Page } from '../contract/page.ts'
import type { Erasure, ExportLine } from '../contract/principal-data.ts'
import type { Owner } from '../contract/principal.ts'
import type {
  CancelRunResult,
  ContinueRunInput,
  RetryRunInput,
  Run,
  StartRunInput,
  TerminalStatus,
} from '../contract/run.ts'
import type { FollowOptions } from '../contract/run-handle.ts'
import type { DeleteSessionResult, Session } from '../contract/session.ts'
import type { SessionUpdate } from '../contract/session-update.ts'
import type { Agent } from '../ports/agent.ts'
import type { ReadableAttachment } from '../ports/attachment-repository.ts'
import type { AuditRequest, RefusedAccess } from '../ports/audit.ts'
import type { PageRequest } from '../ports/session-repository.ts'
import type { TraceCarrier } from '../ports/telemetry.ts'

/**
 * Sessions as callers use them. Every call throws `UNAVAILABLE` while the database is away, and `SESSION_DELETED` for a deleted
 * session; `delete` then repeats its answer.
 */
export interface SessionActions {
  /** The owner's session of this id (a random UUID when left out), made when it is new. */
  create(
    owner: Owner,
    input: { sessionId?: SessionId | undefined; title?: string | null | undefined },
  ): Promise<Session>
  /** @throws VerbatimError `SESSION_NOT_FOUND` */
  get(owner: Owner, sessionId: SessionId): Promise<Session>
  /** Newest activity first. @throws VerbatimError `INVALID_CURSOR` */
  list(owner: Owner, page: PageRequest): Promise<Page<Session>>
  /** @throws VerbatimError `SESSION_NOT_FOUND` */
  update(owner: Owner, input: { sessionId: SessionId; title: string | null }): Promise<Session>
  /**
   * Deletes the session with its messages, runs and events, for good; its id stays taken. Cancels an active run. Waits for the
   * removal (5 s by default); after that any process removes the rest. A repeated call changes nothing.
   *
   * @param signal ends the wait
   * @throws VerbatimError `SESSION_NOT_FOUND`
   */
  delete(owner: Owner, input: { sessionId: SessionId; signal?: AbortSignal | undefined }): Promise<DeleteSessionResult>
  /**
   * The newest states of sessions and of the owner's list, whichever process changes them: first as they are, then after each change.
   * Of one session each state is newer than the one before; states that a slow reader misses are left out. A session need not be
   * there yet. Never returns by itself. Throws `UNAVAILABLE` when the server drains: follow at another server.
   *
   * @throws VerbatimError `RATE_LIMITED`; the signal's reason when it aborts
   */
  follow(
    owner: Owner,
    options?: {
      sessionIds?: readonly SessionId[] | undefined
      list?: boolean | undefined
      signal?: AbortSignal | undefined
    },
  ): AsyncGenerator<SessionUpdate, void, void>
}

/** Stored messages. Every call throws `UNAVAILABLE` while the database is away, and `SESSION_DELETED` for a deleted session. */
export interface MessageActions {
  /** Messages in order; none for an empty session. @throws VerbatimError `SESSION_NOT_FOUND`, `INVALID_CURSOR` */
  list(owner: Owner, sessionId: SessionId, page: PageRequest & { order: 'oldest' | 'newest' }): Promise<Page<Message>>
  /** @throws VerbatimError `MESSAGE_NOT_FOUND` */
  get(owner: Owner, sessionId: SessionId, messageId: MessageId): Promise<Message>
  /**
   * Stores a message without a run (an import, a greeting, an answer that the caller has streamed itself). Budgets do not count its tokens.
   *
   * @throws VerbatimError `INVALID_INPUT` for a user message with metrics or another status, `SESSION_BUSY`, `HEAD_MOVED`, `MESSAGE_ID_REUSED`,
   * `MESSAGE_TOO_LARGE`, `ATTACHMENT_NOT_FOUND`
   */
  append(
    owner: Owner,
    message: {
      sessionId: SessionId
      role: MessageRole
      content: string | readonly ContentBlock[]
      messageId?: MessageId | undefined
      expectedHead?: number | undefined
      /** The agent that said it. */
      agentId?: AgentId | null | undefined
      /** Of an answer that was made without a run. */
      metrics?: RunMetrics | null | undefined
      /** @default "completed" */
      status?: MessageStatus | undefined
    },
  ): Promise<Message>
  /**
   * Replaces the words of a message in place, for good: its id, its place, its metrics and its status stay. The files and the JSON that
   * it had beside its words go. The audit takes down that it was done, and the `reasons`, which must not hold the words.
   *
   * @throws VerbatimError `MESSAGE_NOT_FOUND`; `INVALID_INPUT` for the answer of a run (its words are in the run's log too), for content
   * that names files, and for more than 32 reasons or one over 200 characters
   */
  redact(
    owner: Owner,
    input: {
      sessionId: SessionId
      messageId: MessageId
      content: string | readonly ContentBlock[]
      /** @default none */
      reasons?: readonly string[] | undefined
    },
  ): Promise<Message>
}

/** What agents keep of a session beside its messages. Every call throws `UNAVAILABLE` while the database is away, and `SESSION_DELETED`. */
export interface AgentStateActions {
  /** The newest state of this name; null before the first. @throws VerbatimError `INVALID_INPUT` */
  read(owner: Owner, input: { sessionId: SessionId; name: AgentStateName }): Promise<AgentState | null>
  /**
   * Stores a state in place of the one that the caller has read (`expectedRevision`, 0 for none). Of two writers that have read the
   * same one, the first wins. The session must be there.
   *
   * @throws VerbatimError `STATE_MOVED`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`, `SESSION_NOT_FOUND`
   */
  write(
    owner: Owner,
    input: { sessionId: SessionId; name: AgentStateName; state: JsonValue; expectedRevision: number },
  ): Promise<AgentState>
}

/** An agent for one run. */
export interface InlineAgentOption {
  /**
   * Answers this run, in place of one of the engine's agents. Only this process has it. So the run is not continued or driven again when
   * the process is lost: it ends as interrupted, `error.data.kind` is `inline_agent`, and what was stored of the answer is kept.
   * `onCrash` of such an agent has no effect.
   *
   * @default the agent that `agentId` names
   */
  readonly agent?: Agent | undefined
}

/** Runs. Every call throws `UNAVAILABLE` while the database is away, and `SESSION_DELETED` for a run of a deleted session. */
export interface RunActions {
  /**
   * Starts a run and answers when its prompt is durable; from then on the run belongs to the server. In a busy session `whenBusy`
   * decides: the run is refused (by default), queued, or it replaces all runs before it.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `AGENT_NOT_FOUND`, `INVALID_INPUT` (`input` does not fit the agent),
   * `MESSAGE_TOO_LARGE`, `ATTACHMENT_NOT_FOUND`, `ATTACHMENT_REFUSED`
   */
  start(owner: Owner, input: StartRunInput, options?: InlineAgentOption): Promise<Run>
  /**
   * Every batch of the run past `after`, once and in order, up to and including the terminal event; then it returns.
   * Waits for a run that does not exist yet (5 s by default).
   * Throws `UNAVAILABLE` when the server drains: the run is not over, and the caller follows it at another server.
   *
   * @throws VerbatimError `RUN_NOT_FOUND`, `INVALID_CURSOR` (past the end), `CURSOR_EXPIRED`; the signal's
   * reason when it aborts
   */
  follow(owner: Owner, runId: RunId, options?: FollowOptions): AsyncGenerator<EventBatch, void, void>
  /** @throws VerbatimError `RUN_NOT_FOUND` */
  get(owner: Owner, runId: RunId): Promise<Run>
  /** Newest first. @throws VerbatimError `SESSION_NOT_FOUND`, `INVALID_CURSOR` */
  list(owner: Owner, sessionId: SessionId, page: PageRequest): Promise<Page<Run>>
  /** Stores a cancel request and waits (5 s by default) for the run's end. @throws VerbatimError `RUN_NOT_FOUND` */
  cancel(owner: Owner, runId: RunId): Promise<CancelRunResult>
  /**
   * Starts another run for the prompt of one that was refused, failed, was cancelled or interrupted, while its answer is the
   * session's newest message. The prompt is not stored again. The replaced answer stays among the messages; agents do not receive it.
   *
   * @throws VerbatimError `RUN_NOT_FOUND`, `RUN_NOT_RETRYABLE`, `AGENT_NOT_FOUND`, `MESSAGE_TOO_LARGE`, `SESSION_BUSY`, `RUN_ID_REUSED`
   */
  retry(owner: Owner, input: RetryRunInput, options?: InlineAgentOption): Promise<Run>
  /**
   * Starts a run that goes on from an answer that reached its greatest length (stop reason `max_tokens`), while that is the session's
   * newest message. It is another message, linked by `continuationOf`: show both as one answer.
   *
   * @throws VerbatimError as `retry`; `RUN_NOT_RETRYABLE` also for an answer that has no rest
   */
  continue(owner: Owner, input: ContinueRunInput, options?: InlineAgentOption): Promise<Run>
}

/** The audit of access: refused calls, foreign ids asked for, exports, erasures and deletions, without content. */
export interface AuditActions {
  /** Takes a refused call down. Never waits and never throws; refused calls of one kind and caller are one row a minute. */
  record(access: RefusedAccess): void
  /** The rows of one tenant, or of all, newest first. @throws VerbatimError `INVALID_CURSOR`, `UNAVAILABLE` */
  list(request: AuditRequest): Promise<Page<AuditEntry>>
}

/** A file to store. */
export interface UploadInput {
  /** The same id with the same file is the same attachment. @default a random one */
  readonly id?: AttachmentId | undefined
  readonly name: AttachmentName
  readonly bytes: AsyncIterable<Uint8Array>
  /** How many bytes there are, when the sender knows: what is too large is refused before it is read, and a shorter file too. */
  readonly sizeBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Files that prompts name. */
export interface AttachmentActions {
  /** The largest file, in bytes. */
  readonly maxBytes: number
  /**
   * Stores a file as its bytes come, holding a bounded part of them. What the call refuses, or does not receive whole, is not stored.
   * A file that no message names goes after a day.
   *
   * @throws VerbatimError `PAYLOAD_TOO_LARGE`, `ATTACHMENT_REFUSED`, `ATTACHMENT_ID_REUSED`, `RATE_LIMITED`, `PRINCIPAL_ERASING`, `UNAVAILABLE`
   */
  upload(owner: Owner, input: UploadInput): Promise<Attachment>
  /** The file with the way to its bytes. @throws VerbatimError `ATTACHMENT_NOT_FOUND`, `UNAVAILABLE` */
  open(owner: Owner, id: AttachmentId): Promise<ReadableAttachment>
}

/** All of one user. */
export interface PrincipalActions {
  /**
   * Everything that is stored of `owner`, as lines: header, data, trailer. It reads as its reader does. Each document comes as it is when it
   * is read; what is made meanwhile may come or not. The audit takes down who asked (`requestedBy`, the owner by default) before the first line.
   *
   * @throws VerbatimError `RATE_LIMITED` when one of the caller goes on, or 4 in this process, `UNAVAILABLE`; the signal's reason when it aborts
   */
  export(
    owner: Owner,
    options?: { requestedBy?: Owner | undefined; signal?: AbortSignal | undefined },
  ): AsyncGenerator<ExportLine, void, void>
  /**
   * Removes everything of `owner`, for good: sessions, messages, runs, events, and the name in the audit. Its runs are cancelled. Until it
   * is done, calls that make a session throw `PRINCIPAL_ERASING`; after that the owner begins anew, with other ids. Waits 5 s by default;
   * any process continues, also after a crash, for at least one lease, after which late writes cannot land any more. Call again with
   * the same `erasureId` for the receipt.
   *
   * @param input.signal ends the wait
   * @throws VerbatimError `UNAVAILABLE` when the erasure could not be stored
   */
  erase(
    owner: Owner,
    input?: { erasureId?: string | undefined; requestedBy?: Owner | undefined; signal?: AbortSignal | undefined },
  ): Promise<Erasure>
}

/** Counters and gauges for an operator. */
export interface EngineStats {
  readonly runsStarted: number
  readonly runsEnded: Readonly<Record<TerminalStatus, number>>
  /** Starts and retries that a limit, a budget, a busy session or a full process has refused, by the code of the error. */
  readonly startsRefused: Readonly<Partial<Record<ErrorCode, number>>>
  readonly runsActive: number
  readonly followers: number
  readonly eventsCommitted: number
  readonly commits: number
  /** Upper bound of the bytes of events that wait to become durable. */
  readonly pendingBytes: number
}

/** The engine of one process. Close it when the program ends. */
export interface Engine extends AsyncDisposable {
  readonly sessions: SessionActions
  readonly messages: MessageActions
  readonly agentStates: AgentStateActions
  readonly runs: RunActions
  readonly attachments: AttachmentActions
  readonly principals: PrincipalActions
  readonly audit: AuditActions
  /** Ids of the agents that can answer, the default first. */
  readonly agentIds: readonly AgentId[]
  stats(): EngineStats
  /**
   * Resolves when the database answers, has every index, and the engine takes runs.
   *
   * @throws VerbatimError `UNAVAILABLE`, `UNSUPPORTED_DEPLOYMENT` when a collection or an index is missing
   */
  ready(signal?: AbortSignal): Promise<void>
  /** Takes no new runs, lets active ones end within `graceMs`, then releases the rest and ends all follows. */
  drain(options: { graceMs: number }): Promise<void>
  /** How followers learn of what other processes write. Where neither the database nor other processes give hints, they poll. */
  hints(): 'change_streams' | 'peers' | 'polls'
  /**
   * Runs `work` as a part of the trace that the headers of a call name; without telemetry it only runs it. For servers that no
   * instrumentation of OpenTelemetry covers.
   */
  continueTrace<TResult>(headers: TraceCarrier, work: () => TResult): TResult
  /** Aborts when the engine begins to drain. */
  readonly draining: AbortSignal
  /** Stops at once and releases everything; another process takes over the active runs. */
  close(): Promise<void>
}
