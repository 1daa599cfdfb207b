/** The handle of an answer: the same in process (`SessionManager.send`) and over the wire (the client's `chat().send`). */
import type { AnyData, PartialOutput, RunEventOf } from './agent-types.ts'
import type { JsonValue } from './json-value.ts'
import { fromCursor, toCursor } from './cursor.ts'
import { VerbatimError } from './errors.ts'
import { blockOf, isContinued, lastSeqOf, terminalOf } from './event.ts'
import type { EventBatch, RunEvent } from './event.ts'
import type { RunId } from './identifiers.ts'
import type { Message } from './message.ts'
import type { Answer } from './reduce-events.ts'
import type { CancelRunResult, Run, TerminalStatus, WhenBusy } from './run.ts'

/**
 * Where a handle is. `starting`: the prompt is not confirmed yet. `queued`: it is, and waits for its turn. `connecting`,
 * `streaming`, `reconnecting`: the stream's state. Then how the run ended, or `error` (the start or the follow was refused for
 * good; see `error`), or `closed` (by the caller).
 */
export type RunHandleStatus =
  | 'starting'
  | 'queued'
  | 'connecting'
  | 'streaming'
  | 'reconnecting'
  | TerminalStatus
  | 'error'
  | 'closed'

/** A batch and the cursor to go on after it. */
export interface FollowedBatch extends EventBatch {
  /** The run that it is of. */
  readonly runId: RunId
  /** Keep it once the batch is processed; a follow with `{ after: cursor }` brings exactly what comes next. */
  readonly cursor: string
}

/** One run of an answer: its first, or a continuation. */
export interface RunSegment {
  readonly runId: RunId
  readonly answer: Answer
}

/**
 * A run being followed. Iterate it for its events, each once and in order; every iterator, however late, begins where the
 * handle began. A slow reader loses nothing: the handle reads ahead only as far as a bounded buffer.
 *
 * Iterators throw what made the handle fail: a refused start, a refused follow, `close()` or an aborted signal (an
 * `AbortError` or the signal's reason). How the *run* ended is its last event, which `for await (const event of run)` yields.
 *
 * The run belongs to the server. To leave a loop or to close the handle or the page does not stop it; `cancel()` does.
 *
 * When the process that makes the answer is lost and the server continues with another run (`run_interrupted` with
 * `continuedBy`), the handle follows that one: its events, batches and text come after those of the first, and everything else
 * (`id`, `answer`, `cursor`, `status`, `message`) is of the run that is followed now. `followContinuations: false` stays with the
 * one run.
 */
export interface RunHandle<TOutput = JsonValue, TData extends object = AnyData>
  extends AsyncIterable<RunEventOf<TData>>, AsyncDisposable {
  /** The run that is followed now. */
  readonly id: RunId
  /** The runs of this answer so far, oldest first; more than one when it was interrupted and continued. */
  readonly segments: readonly RunSegment[]
  readonly status: RunHandleStatus
  /**
   * The answer so far, from all events received. Its `content` stays empty when the run was joined by a cursor alone: blocks
   * need what came before them. Immutable; a new object at each change.
   */
  readonly answer: Answer
  /** The place after the last event *received*. To go on after what the caller has *processed*, keep a batch's cursor instead. */
  readonly cursor: string
  /** Why the status is `error`, `failed` or `interrupted`; null otherwise. */
  readonly error: VerbatimError | null
  /** The answer's text as it comes. Ends when the run completes or is cancelled; throws when it failed or was interrupted. */
  readonly text: AsyncIterable<string>
  /** The events as they became durable together. */
  readonly batches: AsyncIterable<FollowedBatch>
  /** The first run, once its prompt is durable. Rejects with the start's error, such as `SESSION_BUSY`. */
  readonly started: Promise<Run>
  /**
   * The stored message of the last run, with its metrics: whole when the run completed, and what was there when it was cancelled or
   * interrupted (see its `status`). Rejects with the run's error when it failed; its partial message is
   * `messages.get(sessionId, run.answer.messageId)`. A run that was cancelled in the queue has none (`MESSAGE_NOT_FOUND`). A
   * caller that asks for it makes the handle read to the end without pause.
   */
  readonly message: Promise<Message>
  /**
   * The output of an agent with an output schema, as it was checked and stored before the run completed. Rejects with the run's error
   * when it failed (`OUTPUT_INVALID` when its answer does not fit; the text is in the partial message) or was interrupted, and with
   * `OUTPUT_INVALID` when it was refused or cancelled, or its agent has no output schema (`data.kind`).
   */
  readonly output: Promise<TOutput>
  /**
   * The output as it becomes more: each state that the reader finds when it asks, unchecked until the last, which is the checked one.
   * Fields and items are missing at the end, and the last string may be cut. Empty for an answer in prose. Ends and throws as `text`.
   */
  readonly partialOutput: AsyncIterable<PartialOutput<TOutput>>
  /** Asks the server to stop the run; the answer's end is then `run_cancelled`. Harmless when it has ended. */
  cancel(): Promise<CancelRunResult>
  /** Calls `listener` after every change of `status` or `answer`, and reads to the end without pause. Returns what undoes it. */
  subscribe(listener: () => void): () => void
  /** Stops following, never the run. */
  close(): void
}

/** Options of everything that returns a handle. */
export interface HandleOptions {
  /** Whether the handle follows the run that continues an interrupted one. @default true */
  readonly followContinuations?: boolean | undefined
  /** Gives the start up and stops following; it never stops the run. */
  readonly signal?: AbortSignal | undefined
}

/** Options of `send`. */
export interface SendOptions extends HandleOptions {
  /** The run's id, a UUID: the idempotency key of this prompt. @default a random one */
  readonly runId?: string | undefined
  /** The agent that answers. @default the server's first */
  readonly agentId?: string | undefined
  /**
   * What the agent takes beside the prompt: JSON that fits the agent's own schema (`INVALID_INPUT` otherwise). A retry has it too. It is
   * stored, so it must hold no secret.
   */
  readonly input?: JsonValue | undefined
  /**
   * When the session is busy: `reject` the prompt (`SESSION_BUSY`), let it wait in the `queue`, or `replace` all before it,
   * which is cancelled. @default "reject"
   */
  readonly whenBusy?: WhenBusy | undefined
}

/** Where to begin to follow, and when to stop. */
export interface FollowOptions {
  /** A cursor to go on after. @default the run's beginning */
  readonly after?: string | undefined
  /** Ends the wait and the follow. */
  readonly signal?: AbortSignal | undefined
}

/** Options of a follow that returns a handle. */
export interface FollowRunOptions extends HandleOptions, FollowOptions {
  /** The answer as the caller has it: goes on after its last event, and keeps `content` whole. Takes precedence over `after`. */
  readonly answer?: Answer | undefined
}

/** The seq that a follow of `runId` begins after. @throws VerbatimError `INVALID_CURSOR` */
export function seqOf(cursor: string | null | undefined, runId: RunId): number {
  return cursor == null ? 0 : fromCursor(cursor, runId).seq
}

/** The batches of a run with their cursors. */
export async function* withCursors(
  runId: RunId,
  batches: AsyncIterable<EventBatch>,
): AsyncGenerator<FollowedBatch, void, void> {
  for await (const batch of batches) yield { ...batch, runId, cursor: toCursor(runId, lastSeqOf(batch)) }
}

/** The events one by one. */
export async function* eventsOf(batches: AsyncIterable<EventBatch>): AsyncGenerator<RunEvent, void, void> {
  for await (const batch of batches) yield* batch.events
}

/**
 * The text of the answer, a batch's at a time.
 *
 * @throws VerbatimError the run's own, when it failed, or was interrupted and no run continues it
 */
export async function* textOfBatches(batches: AsyncIterable<EventBatch>): AsyncGenerator<string, void, void> {
  for await (const batch of batches) {
    const text = batch.events.map(textOfEvent).join('')
    if (text !== '') yield text
    const end = terminalOf(batch)
    if (end !== undefined && 'error' in end && !isContinued(end)) throw VerbatimError.fromWire(end.error)
  }
}

/** The answer's text that `event` brings: that of all of a run's events, joined, is the text of its message. */
export function textOfEvent(event: RunEvent): string {
  if (event.type === 'content_block_delta') return event.delta.type === 'text_delta' ? event.delta.text : ''
  const block = blockOf(event)
  return block?.type === 'text' ? block.text : ''
}
