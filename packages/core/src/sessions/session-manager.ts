/** One session of one owner, as a program that embeds the engine holds it. */
import { VerbatimError } from '../contract/errors.ts'
import { PageInput } from '../contract/page.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import type { EventBatch } from '../contract/event.ts'
import type { AgentId, MessageId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message, MessageRole } from '../contract/message.ts'
import type { Owner } from '../contract/principal.ts'
import type { CancelRunResult, Run, WhenBusy } from '../contract/run.ts'
import type { DeleteSessionResult, Session } from '../contract/session.ts'
import type { FollowOptions, Engine } from '../engine/engine.ts'

/** What {@link SessionManager.startRun} takes. */
export interface PromptInput {
  readonly message: string
  /** Makes the start safe to repeat. @default a random UUID */
  readonly runId?: RunId | undefined
  /** @default the factory's first agent */
  readonly agentId?: AgentId | undefined
  /** When the session is busy: refuse, wait behind the others, or cancel them all and come next. @default 'reject' */
  readonly whenBusy?: WhenBusy | undefined
}

/** What {@link SessionManager.appendMessage} takes. */
export interface MessageInput {
  readonly role: MessageRole
  readonly content: string | readonly ContentBlock[]
  /** Makes the append safe to repeat. @default a random UUID */
  readonly messageId?: MessageId | undefined
  /** Append only when the session has exactly this many messages. */
  readonly expectedHead?: number | undefined
}

/**
 * Prompts, answers and history of one session. Made by `SessionManagerFactory.createSessionManager`, or by
 * `createSessionManager` for a program with one session; in that case closing it closes the connection too.
 *
 * Every call but `close` throws `UNAVAILABLE` while the database is away, and `SESSION_DELETED` once the session was deleted
 * (`delete` only repeats its answer).
 */
export class SessionManager implements AsyncDisposable {
  readonly sessionId: SessionId
  readonly #engine: Engine
  readonly #owner: Owner
  readonly #release: () => Promise<void>

  /** @internal */
  constructor({
    engine,
    owner,
    sessionId,
    release,
  }: {
    engine: Engine
    owner: Owner
    sessionId: SessionId
    release: () => Promise<void>
  }) {
    this.sessionId = sessionId
    this.#engine = engine
    this.#owner = owner
    this.#release = release
  }

  /** The stored session, made when it is new. */
  session(): Promise<Session> {
    return this.#engine.sessions.create(this.#owner, { sessionId: this.sessionId })
  }

  /**
   * Starts a run, or queues it when the session is busy and `whenBusy` says so; answers once the prompt is durable.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `AGENT_NOT_FOUND`, `MESSAGE_TOO_LARGE`
   */
  startRun({ message, runId = crypto.randomUUID(), agentId, whenBusy }: PromptInput): Promise<Run> {
    return this.#engine.runs.start(this.#owner, { sessionId: this.sessionId, runId, message, agentId, whenBusy })
  }

  /**
   * Every batch of a run past `after`, once and in order, up to its terminal event.
   *
   * @throws VerbatimError `RUN_NOT_FOUND`, `INVALID_CURSOR` (past the end), `CURSOR_EXPIRED`; the signal's reason when it aborts
   */
  follow(runId: RunId, options: FollowOptions): AsyncGenerator<EventBatch, void, void> {
    return this.#engine.runs.follow(this.#owner, runId, options)
  }

  /**
   * Stops a run, whichever process makes it. The part of the answer that was streamed is kept.
   *
   * @throws VerbatimError `RUN_NOT_FOUND`
   */
  cancelRun(runId: RunId): Promise<CancelRunResult> {
    return this.#engine.runs.cancel(this.#owner, runId)
  }

  /**
   * Starts another run for the prompt of one that failed, was cancelled or interrupted.
   *
   * @param newRunId makes the retry safe to repeat. @default a random UUID
   * @throws VerbatimError `RUN_NOT_FOUND`, `RUN_NOT_RETRYABLE`, `AGENT_NOT_FOUND`, `SESSION_BUSY`, `RUN_ID_REUSED`
   */
  retryRun(runId: RunId, { newRunId = crypto.randomUUID() }: { newRunId?: RunId } = {}): Promise<Run> {
    return this.#engine.runs.retry(this.#owner, { runId, newRunId })
  }

  /** Stores a message without a run. @throws VerbatimError `SESSION_BUSY`, `HEAD_MOVED`, `MESSAGE_ID_REUSED`, `MESSAGE_TOO_LARGE` */
  appendMessage(message: MessageInput): Promise<Message> {
    return this.#engine.messages.append(this.#owner, { ...message, sessionId: this.sessionId })
  }

  /**
   * The newest messages, oldest first. Makes the session when it is new, as `session()` does.
   *
   * @param maxMessages at most this many, 1 to 100. @default 40
   * @throws VerbatimError `INVALID_INPUT`
   */
  async history({ maxMessages = 40 }: { maxMessages?: number } = {}): Promise<Message[]> {
    const limit = pageLimitOf(maxMessages)
    await this.session()
    const newest = await this.#engine.messages.list(this.#owner, this.sessionId, { order: 'newest', limit })
    return newest.items.toReversed()
  }

  /**
   * Deletes the session for good, with all that belongs to it; a run that goes on is cancelled. This manager can then do no
   * more than be closed.
   *
   * @throws VerbatimError `SESSION_NOT_FOUND`
   */
  delete(): Promise<DeleteSessionResult> {
    return this.#engine.sessions.delete(this.#owner, { sessionId: this.sessionId })
  }

  /** Releases what this manager holds. Runs go on, unless it owns the connection. */
  close(): Promise<void> {
    return this.#release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function pageLimitOf(maxMessages: number): number {
  const limit = PageInput.shape.limit.safeParse(maxMessages)
  if (limit.success) return limit.data
  throw new VerbatimError('INVALID_INPUT', 'maxMessages: must be a whole number from 1 to 100', {
    data: { field: 'maxMessages' },
  })
}
