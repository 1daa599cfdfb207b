/**
 * The handle of one run. In: a start or a place in a run's log. Out: the events, the text and the message, to any number of
 * readers (promises P2 and P4). One connection feeds one bounded buffer; readers share it, and the slowest pace is the reader's
 * own. The run itself belongs to the server: nothing here but `cancel()` ends it.
 */
import {
  emptyAnswer,
  isTerminalStatus,
  isVerbatimError,
  lastSeqOf,
  reduceEvents,
  toCursor,
  VerbatimError,
} from '@verbatim/core'
import type { Answer, CancelRunResult, EventBatch, Message, Run, RunEvent, RunId } from '@verbatim/core'
import { createBatchBuffer } from './batch-buffer.ts'
import type { BatchBuffer } from './batch-buffer.ts'
import { createBell } from './bell.ts'
import type { Calls, RunCalls } from './resources.ts'
import { eventsOf, textOfBatches, withCursors } from './run.ts'
import type { FollowedBatch, RunHandle, RunHandleStatus } from './run.ts'
import { followRun } from './transport/follow-run.ts'
import type { FollowState, ReceivedBatch } from './transport/follow-run.ts'
import type { Connection } from './transport/connection.ts'
import { retryCall } from './transport/reconnect.ts'
import { isPassing } from './transport/to-error.ts'
import { childController, closedError } from './transport/wait.ts'

/** What a handle works with. */
export interface RunContext {
  readonly calls: Calls
  readonly connection: Connection
  /** Aborts when the client closes. */
  readonly closed: AbortSignal
  readonly maxBufferedChars: number
}

/** Where a handle begins. */
export type RunOrigin =
  | {
      readonly type: 'start'
      readonly runId: RunId
      /** Makes the run; safe to be called again. */
      readonly start: (options: { signal: AbortSignal }) => Promise<Run>
      /** False when the caller chose the id, which might be another run's: nothing is shown before the start is confirmed. */
      readonly isNewId: boolean
      readonly signal?: AbortSignal | undefined
    }
  | {
      readonly type: 'follow'
      readonly runId: RunId
      readonly answer: Answer
      /** False when `answer` lacks what came before its `lastSeq`. */
      readonly isWhole: boolean
      readonly signal?: AbortSignal | undefined
    }

/**
 * Starts or joins one run; requests go out before this returns.
 *
 * @param onEnd called once, when nothing more will come
 */
export function createRunHandle(context: RunContext, origin: RunOrigin, onEnd = () => {}): RunHandle {
  return new FollowedRun(context, origin, onEnd)
}

class FollowedRun implements RunHandle {
  readonly id: RunId
  readonly #context: RunContext
  readonly #controller: AbortController
  readonly #release: () => void
  readonly #onEnd: () => void
  readonly #isWhole: boolean
  readonly #after: number
  readonly #buffer: BatchBuffer
  readonly #changed = createBell()
  readonly #wanted = createBell()
  readonly #listeners = new Set<() => void>()
  #answer: Answer
  #state: FollowState = 'connecting'
  #starting: Promise<Run> | undefined
  #started: Promise<Run> | undefined
  #message: Promise<Message> | undefined
  #sessionId: string | undefined
  /** How many wait for what is not here yet; while it is 0, a full buffer stops the reading. */
  #hungry = 0
  #outcome: { readonly status: RunHandleStatus; readonly failure?: { readonly error: unknown } } | undefined

  constructor(context: RunContext, origin: RunOrigin, onEnd: () => void) {
    this.id = origin.runId
    this.#context = context
    this.#onEnd = onEnd
    const child = childController(context.closed, origin.signal)
    this.#controller = child.controller
    this.#release = child.release
    this.#buffer = createBatchBuffer(context.maxBufferedChars)
    this.#answer = origin.type === 'follow' ? origin.answer : emptyAnswer
    this.#after = this.#answer.lastSeq
    this.#isWhole = origin.type === 'start' || origin.isWhole
    // The pump may be pausing, or waiting on a fetch that knows no signals.
    const { signal } = this.#controller
    signal.addEventListener('abort', () => this.#fail(signal.reason), { once: true })
    if (origin.type === 'start') this.#start(origin.start)
    void this.#pump(origin.type === 'start' && !origin.isNewId)
  }

  get runIds(): readonly RunId[] {
    return [this.id]
  }

  get status(): RunHandleStatus {
    if (this.#outcome !== undefined) return this.#outcome.status
    if (this.#starting !== undefined && this.#answer.lastSeq === 0) return 'starting'
    return this.#state === 'streaming' && this.#answer.status === 'queued' ? 'queued' : this.#state
  }

  get answer(): Answer {
    return this.#answer
  }

  get cursor(): string {
    return toCursor(this.id, this.#answer.lastSeq)
  }

  get error(): VerbatimError | null {
    const failure = this.#outcome?.failure?.error
    if (isVerbatimError(failure)) return failure
    return this.#answer.error === null ? null : VerbatimError.fromWire(this.#answer.error)
  }

  get started(): Promise<Run> {
    this.#started ??= quiet(this.#context.calls.runs.get(this.id, this.#controller))
    return this.#started
  }

  get message(): Promise<Message> {
    this.#message ??= quiet(this.#loadMessage())
    return this.#message
  }

  get batches(): AsyncIterable<FollowedBatch> {
    return { [Symbol.asyncIterator]: () => withCursors(this.id, this.#read()) }
  }

  get text(): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => textOfBatches(this.#read()) }
  }

  [Symbol.asyncIterator](): AsyncGenerator<RunEvent, void, void> {
    return eventsOf(this.#read())
  }

  async cancel(): Promise<CancelRunResult> {
    if (this.status === 'starting') await this.started // there is nothing to cancel before
    return await cancelAnswer(this.#context.calls.runs, this.id)
  }

  subscribe(listener: () => void): () => void {
    const own = () => listener() // the same function may subscribe twice
    this.#listeners.add(own)
    this.#wanted.ring()
    return () => void this.#listeners.delete(own)
  }

  close(): void {
    this.#end({ status: 'closed', failure: { error: closedError('The run handle') } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #start(start: (options: { signal: AbortSignal }) => Promise<Run>): void {
    this.#starting = start(this.#controller).catch(async (error: unknown) => {
      // Events of the run are here, so the start got through and only its answer was lost.
      if (isVerbatimError(error) && isPassing(error) && this.#answer.lastSeq > 0) {
        return await this.#context.calls.runs.get(this.id, this.#controller)
      }
      this.#fail(error)
      throw error
    })
    this.#started = quiet(this.#starting)
    void quiet(
      this.#starting.finally(() => {
        this.#starting = undefined
        this.#notify()
      }),
    )
  }

  /** Reads the log into the buffer until the run ends; pauses while the buffer is full and nobody waits. */
  async #pump(waitsForStart: boolean): Promise<void> {
    const { signal } = this.#controller
    try {
      const batches = followRun(this.#context.connection, {
        runId: this.id,
        after: this.#after,
        signal,
        starting: () => this.#starting,
        onState: (state) => this.#setState(state),
      })
      for await (const received of batches) {
        if (waitsForStart) await this.#started
        this.#accept(received)
        while (this.#isIdle()) await this.#wanted.wait()
      }
      if (!isTerminalStatus(this.#answer.status)) await this.#learnEnd()
    } catch (error) {
      this.#fail(error)
    }
  }

  #isIdle(): boolean {
    return this.#outcome === undefined && this.#buffer.isFull && this.#hungry + this.#listeners.size === 0
  }

  #accept(received: ReceivedBatch): void {
    for (const event of received.batch.events) {
      if (event.type === 'run_started' || event.type === 'run_queued') this.#sessionId = event.sessionId
    }
    const answer = reduceEvents(this.#answer, received.batch)
    this.#answer = this.#isWhole ? answer : { ...answer, content: [], cycleStart: 0, partialJson: '' }
    this.#buffer.add(received)
    if (isTerminalStatus(answer.status)) this.#end({ status: answer.status })
    else this.#notify()
  }

  /** Nothing came after the place we joined at: the run had ended there. */
  async #learnEnd(): Promise<void> {
    const run = await this.#context.calls.runs.get(this.id, this.#controller)
    const { status, metrics, messageId, error } = run
    const continuedBy = (run as Partial<Run>).continuedBy ?? null // an older server does not tell
    if (!isTerminalStatus(status))
      throw new VerbatimError('INTERNAL', 'The server ended the stream of a run that goes on')
    this.#sessionId = run.sessionId
    this.#answer = { ...this.#answer, status, metrics, messageId, error, continuedBy }
    this.#end({ status })
  }

  async #loadMessage(): Promise<Message> {
    this.#hungry += 1
    this.#wanted.ring()
    while (this.#outcome === undefined) await this.#changed.wait()
    this.#hungry -= 1
    if (this.#outcome.failure !== undefined) throw this.#outcome.failure.error
    if (this.error !== null && this.#outcome.status === 'failed') throw this.error
    const { messageId } = this.#answer
    if (messageId === null) {
      throw new VerbatimError('MESSAGE_NOT_FOUND', 'The run was cancelled while it waited; it has no message')
    }
    const { calls, connection, closed } = this.#context
    const load = async () => {
      const sessionId = this.#sessionId ?? (await calls.runs.get(this.id)).sessionId
      return await calls.messages.get(sessionId, messageId)
    }
    return await retryCall(load, { retry: connection.retry, signal: closed })
  }

  /** Every batch from where the handle began, whenever this is called. */
  async *#read(): AsyncGenerator<EventBatch, void, void> {
    let seq = this.#after
    for (;;) {
      const next = this.#buffer.after(seq)
      if (next === 'dropped') {
        for await (const batch of this.#readAgain(seq)) {
          seq = lastSeqOf(batch)
          yield batch
        }
      } else if (next !== undefined) {
        seq = lastSeqOf(next)
        yield next
      } else if (this.#outcome === undefined) {
        await this.#waitForMore()
      } else if (this.#outcome.failure !== undefined) {
        throw this.#outcome.failure.error
      } else return
    }
  }

  /** What the buffer no longer has, from the server, up to where the buffer begins: a late reader costs no memory. */
  async *#readAgain(after: number): AsyncGenerator<EventBatch, void, void> {
    const { controller, release } = childController(this.#context.closed, this.#controller.signal)
    try {
      for await (const { batch } of followRun(this.#context.connection, {
        runId: this.id,
        after,
        signal: controller.signal,
      })) {
        yield batch
        if (this.#buffer.after(lastSeqOf(batch)) !== 'dropped') return
      }
    } finally {
      release()
    }
  }

  async #waitForMore(): Promise<void> {
    this.#hungry += 1
    this.#wanted.ring()
    try {
      await this.#changed.wait()
    } finally {
      this.#hungry -= 1
    }
  }

  #setState(state: FollowState): void {
    if (this.#state === state) return
    this.#state = state
    this.#notify()
  }

  #fail(error: unknown): void {
    const isClosed = this.#controller.signal.aborted && error === this.#controller.signal.reason
    this.#end({ status: isClosed ? 'closed' : 'error', failure: { error } })
  }

  #end(outcome: { readonly status: RunHandleStatus; readonly failure?: { readonly error: unknown } }): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    this.#release()
    if (outcome.failure !== undefined) this.#controller.abort(outcome.failure.error)
    this.#onEnd()
    this.#wanted.ring()
    this.#notify()
  }

  #notify(): void {
    this.#changed.ring()
    for (const listener of this.#listeners) callApart(listener)
  }
}

/** Stops what makes the answer: the run, or the one that goes on from it, which we may not have heard of. */
async function cancelAnswer(runs: RunCalls, runId: RunId): Promise<CancelRunResult> {
  const result = await runs.cancel(runId)
  if (!result.hadEnded || result.status !== 'interrupted') return result
  const { continuedBy } = await runs.get(runId)
  return continuedBy === null ? result : await cancelAnswer(runs, continuedBy)
}

/** `promise`, whose rejection nobody needs to handle: it also comes through the handle's iterators, `error` and `status`. */
function quiet<TValue>(promise: Promise<TValue>): Promise<TValue> {
  promise.catch(() => {})
  return promise
}

/** A listener that throws is the listener's bug: it surfaces as an uncaught error and does not stop the run's other readers. */
function callApart(listener: () => void): void {
  try {
    listener()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
