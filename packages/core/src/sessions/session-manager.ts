/** One session of one owner, as a program that embeds the engine holds it. */
import { closedError } from '../contract/child-controller.ts'
import { followRunHandle, startRunHandle } from '../contract/create-run-handle.ts'
import type { RunSource, RunStart } from '../contract/run-source.ts'
import { toCursor } from '../contract/cursor.ts'
import { isVerbatimError, VerbatimError } from '../contract/errors.ts'
import { PromptInput } from '../contract/content-input.ts'
import { describeIssue } from '../contract/describe-issue.ts'
import { PageInput } from '../contract/page.ts'
import type { Page } from '../contract/page.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import type { AgentState, AgentStateName } from '../contract/agent-state.ts'
import type { JsonValue } from '../contract/json-value.ts'
import type { AgentId, MessageId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message, MessageRole, MessageStatus } from '../contract/message.ts'
import { toRunMetrics } from '../contract/metrics.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { Owner } from '../contract/principal.ts'
import type { CancelRunResult } from '../contract/run.ts'
import type { FollowRunOptions, HandleOptions, RunHandle, SendOptions } from '../contract/run-handle.ts'
import type { DeleteSessionResult, Session } from '../contract/session.ts'
import type { Engine, InlineAgentOption } from '../engine/engine.ts'

/** What {@link SessionManager.appendMessage} takes. */
export interface MessageInput {
  readonly role: MessageRole
  readonly content: string | readonly ContentBlock[]
  /** Makes the append safe to repeat. @default a random UUID */
  readonly messageId?: MessageId | undefined
  /** Append only when the session has exactly this many messages. */
  readonly expectedHead?: number | undefined
  /** The agent that said it. */
  readonly agentId?: AgentId | undefined
  /**
   * How an answer was made that the program has streamed itself. What is left out is 0 or null, and `totalTokens` the sum.
   * A message without metrics has none.
   */
  readonly metrics?: Partial<RunMetrics> | undefined
  /** How an answer that the program has streamed itself ended. @default "completed" */
  readonly status?: MessageStatus | undefined
}

/** Options of {@link SessionManager.send}. */
export interface SessionSendOptions extends SendOptions, InlineAgentOption {}

/** Options of {@link SessionManager.retry} and {@link SessionManager.continue}. */
export interface SessionRetryOptions extends HandleOptions, InlineAgentOption {
  /** Makes the call safe to repeat. @default a random UUID */
  readonly newRunId?: RunId | undefined
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
  readonly #closed = new AbortController()
  readonly #source: RunSource

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
    this.#source = createSource(engine, owner, this.#closed.signal)
  }

  /** The stored session, made when it is new. */
  session(): Promise<Session> {
    return this.#engine.sessions.create(this.#owner, { sessionId: this.sessionId })
  }

  /**
   * Sends a prompt, text or blocks, and returns the handle of its answer at once, as the client's `chat().send` does. A refused start
   * (`SESSION_BUSY`, `RUN_ID_REUSED`, `AGENT_NOT_FOUND`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`) is what the handle's iterators throw and its promises
   * reject with.
   *
   * With `agent`, an agent that was made on the spot answers. Such a run ends with the process: should that be lost, the run is interrupted.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when `runId` is not a UUID, a block is malformed, or with both `agent` and `agentId`
   */
  send(message: PromptInput, { agent, agentId, whenBusy, input, ...options }: SessionSendOptions = {}): RunHandle {
    if (agent !== undefined && agentId !== undefined) throw twoAgents()
    const asked = { sessionId: this.sessionId, message: checkedPrompt(message), agentId, whenBusy, input }
    const start: RunStart = (runId) => this.#engine.runs.start(this.#owner, { ...asked, runId }, { agent })
    return startRunHandle(this.#source, start, options)
  }

  /**
   * Follows a run from its beginning or from a cursor. What the engine refuses (`RUN_NOT_FOUND`, `INVALID_CURSOR` past the end,
   * `CURSOR_EXPIRED`) comes through the handle.
   *
   * @throws VerbatimError `INVALID_INPUT` or `INVALID_CURSOR` at once
   */
  follow(runId: RunId, options?: FollowRunOptions): RunHandle {
    return followRunHandle(this.#source, runId, options)
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
   * Starts another run for the prompt of one that failed, was cancelled or interrupted. What the engine refuses
   * (`RUN_NOT_FOUND`, `RUN_NOT_RETRYABLE`, `SESSION_BUSY`) comes through the handle.
   *
   * The answer of an agent that was made on the spot needs one again: `agent`.
   */
  retry(runId: RunId, { newRunId, agent, ...options }: SessionRetryOptions = {}): RunHandle {
    const start: RunStart = (id) => this.#engine.runs.retry(this.#owner, { runId, newRunId: id }, { agent })
    return startRunHandle(this.#source, start, { ...options, runId: newRunId })
  }

  /**
   * Starts a run that goes on from the newest answer, when that reached its greatest length (stop reason `max_tokens`). What the engine
   * refuses comes through the handle, as for {@link SessionManager.retry}.
   */
  continue(runId: RunId, { newRunId, agent, ...options }: SessionRetryOptions = {}): RunHandle {
    const start: RunStart = (id) => this.#engine.runs.continue(this.#owner, { runId, newRunId: id }, { agent })
    return startRunHandle(this.#source, start, { ...options, runId: newRunId })
  }

  /**
   * Stores a message without a run: an import, a greeting, or both sides of a turn that the program streams itself. Such a turn is not
   * durable while it is streamed; `send` with an `agent` makes it so.
   *
   * @throws VerbatimError `INVALID_INPUT`, `SESSION_BUSY`, `HEAD_MOVED`, `MESSAGE_ID_REUSED`, `MESSAGE_TOO_LARGE`
   */
  async appendMessage({ metrics, ...message }: MessageInput): Promise<Message> {
    const measured = metrics === undefined ? {} : { metrics: toRunMetrics(metrics) }
    return await this.#engine.messages.append(this.#owner, { ...message, ...measured, sessionId: this.sessionId })
  }

  /**
   * The newest messages, oldest first; none while the session does not exist. It writes nothing.
   *
   * @param maxMessages at most this many, 1 to 100. @default 40
   * @throws VerbatimError `INVALID_INPUT`
   */
  async history({ maxMessages = 40 }: { maxMessages?: number } = {}): Promise<Message[]> {
    const limit = pageLimitOf(maxMessages, 'maxMessages')
    const newest: Message[] = []
    try {
      // A page may be shorter than its limit.
      let cursor: string | null = null
      do {
        const page: Page<Message> = await this.#engine.messages.list(this.#owner, this.sessionId, {
          order: 'newest',
          limit: limit - newest.length,
          cursor,
        })
        newest.push(...page.items)
        cursor = page.nextCursor
      } while (cursor !== null && newest.length < limit)
      return newest.toReversed()
    } catch (error) {
      if (isVerbatimError(error) && error.code === 'SESSION_NOT_FOUND') return []
      throw error
    }
  }

  /**
   * A page of messages, in order or the newest first; none while the session does not exist. It writes nothing.
   *
   * @param page `limit` from 1 to 100; `cursor` is the `nextCursor` of the page before
   * @throws VerbatimError `INVALID_INPUT`, `INVALID_CURSOR`
   */
  async listMessages({
    order = 'newest',
    limit = 100,
    cursor = null,
  }: {
    order?: 'oldest' | 'newest'
    limit?: number
    cursor?: string | null
  } = {}): Promise<Page<Message>> {
    try {
      const page = { order, limit: pageLimitOf(limit, 'limit'), cursor }
      return await this.#engine.messages.list(this.#owner, this.sessionId, page)
    } catch (error) {
      if (isVerbatimError(error) && error.code === 'SESSION_NOT_FOUND') return { items: [], nextCursor: null }
      throw error
    }
  }

  /**
   * Replaces the words of a message in place, for good; the audit has the reasons. See `MessageActions.redact`.
   *
   * @throws VerbatimError `MESSAGE_NOT_FOUND`, `INVALID_INPUT`
   */
  async redactMessage(
    messageId: MessageId,
    { content, reasons }: { content: string | readonly ContentBlock[]; reasons?: readonly string[] | undefined },
  ): Promise<Message> {
    const { sessionId } = this
    return await this.#engine.messages.redact(this.#owner, { sessionId, messageId, content, reasons })
  }

  /** What an agent keeps of the session beside its messages; null before the first. @throws VerbatimError `INVALID_INPUT` */
  async readState(name: AgentStateName): Promise<AgentState | null> {
    return await this.#engine.agentStates.read(this.#owner, { sessionId: this.sessionId, name })
  }

  /**
   * Stores what an agent keeps, in place of what was read; the session is made when it is new.
   *
   * @param write `expectedRevision` is that of the state that was read, 0 for none
   * @throws VerbatimError `STATE_MOVED` when another writer was first, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`
   */
  async writeState(name: AgentStateName, write: { state: JsonValue; expectedRevision: number }): Promise<AgentState> {
    const input = { ...write, name, sessionId: this.sessionId }
    try {
      return await this.#engine.agentStates.write(this.#owner, input)
    } catch (error) {
      if (!isVerbatimError(error) || error.code !== 'SESSION_NOT_FOUND') throw error
      await this.session()
      return await this.#engine.agentStates.write(this.#owner, input)
    }
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

  /** Closes the handles of this manager and releases what it holds. Runs go on, unless it owns the connection. */
  close(): Promise<void> {
    this.#closed.abort(closedError('The session manager'))
    return this.#release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** A program is trusted with its text. Blocks are checked: one that no model takes would stay in the session. */
function checkedPrompt(message: PromptInput): PromptInput {
  if (typeof message === 'string') return message
  const parsed = PromptInput.safeParse(message)
  if (parsed.success) return parsed.data
  const { field, reason } = describeIssue(parsed.error.issues[0])
  const place = ['message', field].filter(Boolean).join('.')
  throw new VerbatimError('INVALID_INPUT', `${place}: ${reason}`, { data: { field: place } })
}

function twoAgents(): VerbatimError {
  return new VerbatimError('INVALID_INPUT', 'agent: name an agent of the engine by agentId, or pass one, not both', {
    data: { field: 'agent' },
  })
}

function pageLimitOf(given: number, field: string): number {
  const limit = PageInput.shape.limit.safeParse(given)
  if (limit.success) return limit.data
  throw new VerbatimError('INVALID_INPUT', `${field}: must be a whole number from 1 to 100`, { data: { field } })
}

/** What a handle may hold for slow readers, in characters of events; a slower one reads again from the log. */
const maxBufferedChars = 4 * 1024 * 1024

/** The engine as the handles of one owner read it. */
function createSource({ runs, messages }: Engine, owner: Owner, closed: AbortSignal): RunSource {
  return {
    closed,
    maxBufferedChars,
    async *follow(runId, { after, signal, starting, onState }) {
      await starting?.()
      onState?.('streaming')
      yield* runs.follow(owner, runId, { after: toCursor(runId, after), signal })
    },
    getRun: (runId) => runs.get(owner, runId),
    getMessage: (sessionId, messageId) => messages.get(owner, sessionId, messageId),
    cancelRun: (runId) => runs.cancel(owner, runId),
  }
}
