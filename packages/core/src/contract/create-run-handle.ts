/**
 * Makes handles. In: a start or a place in a run's log, and a source. Out: the events, the text and the message, to any number of
 * readers (promises P2 and P4). An answer is a list of segments: its run, and each run that continues it. One follow at a time
 * fills the bounded buffer of the last segment; all readers share it, each at its own pace.
 */
import { childController, closedError } from './child-controller.ts'
import { createCondition } from './condition.ts'
import { toCursor } from './cursor.ts'
import { isVerbatimError, VerbatimError } from './errors.ts'
import { lastSeqOf } from './event.ts'
import type { EventBatch, RunEvent } from './event.ts'
import { randomUuid, readRunId } from './identifiers.ts'
import type { RunId } from './identifiers.ts'
import type { Message } from './message.ts'
import { emptyAnswer, reduceEvents } from './reduce-events.ts'
import type { Answer } from './reduce-events.ts'
import type { JsonValue } from './json-value.ts'
import { outputOfMessage, partialOutputs } from './run-output.ts'
import { createSegment } from './run-segment.ts'
import type { Segment } from './run-segment.ts'
import { eventsOf, seqOf, textOfBatches, withCursors } from './run-handle.ts'
import type {
  FollowedBatch,
  FollowRunOptions,
  HandleOptions,
  RunHandle,
  RunHandleStatus,
  RunSegment,
} from './run-handle.ts'
import { cancelAnswer } from './run-source.ts'
import type { FollowState, RunSource, RunStart } from './run-source.ts'
import { isTerminalStatus } from './run.ts'
import type { CancelRunResult, Run } from './run.ts'

/**
 * Starts a run and returns its handle at once.
 *
 * @throws VerbatimError `INVALID_INPUT` at once, when `runId` is not a UUID
 */
export function startRunHandle(
  source: RunSource,
  start: RunStart,
  { runId, ...options }: HandleOptions & { runId?: string | undefined } = {},
): RunHandle {
  const id = runId === undefined ? randomUuid() : toRunId(runId)
  // The caller's id might be another run's: then no event is shown before the start is confirmed.
  return new FollowedRun(source, createSegment(source, id), { ...options, start, showsEarly: runId === undefined })
}

/** Joins a run, whether it goes on or has ended. @throws VerbatimError `INVALID_INPUT` or `INVALID_CURSOR` at once */
export function followRunHandle(
  source: RunSource,
  runId: string,
  { after, answer, ...options }: FollowRunOptions = {},
): RunHandle {
  const id = toRunId(runId)
  const begin = answer ?? { ...emptyAnswer, lastSeq: seqOf(after, id) }
  const isWhole = answer !== undefined || begin.lastSeq === 0
  return new FollowedRun(source, createSegment(source, id, { answer: begin, isWhole }), options)
}

/** @throws VerbatimError `INVALID_INPUT` */
export function toRunId(text: string): RunId {
  const id = readRunId(text)
  if (id !== undefined) return id
  throw new VerbatimError('INVALID_INPUT', 'A run id is a UUID', { data: { field: 'runId' } })
}

interface Outcome {
  readonly status: RunHandleStatus
  readonly failure?: { readonly error: unknown }
}

class FollowedRun implements RunHandle {
  readonly #source: RunSource
  readonly #controller: AbortController
  readonly #release: () => void
  readonly #followContinuations: boolean
  readonly #showsEarly: boolean
  readonly #first: Segment
  readonly #segments: Segment[]
  readonly #changed = createCondition()
  readonly #readerWaits = createCondition()
  #state: FollowState = 'connecting'
  #starting: Promise<Run> | undefined
  #started: Promise<Run> | undefined
  #message: Promise<Message> | undefined
  #output: Promise<JsonValue> | undefined
  /** While there are none, a full buffer stops the reading. */
  #waitingReaders = 0
  #outcome: Outcome | undefined

  constructor(
    source: RunSource,
    first: Segment,
    options: HandleOptions & { start?: RunStart | undefined; showsEarly?: boolean },
  ) {
    this.#source = source
    this.#first = first
    this.#segments = [first]
    this.#followContinuations = options.followContinuations ?? true
    this.#showsEarly = options.showsEarly ?? true
    const child = childController(source.closed, options.signal)
    this.#controller = child.controller
    this.#release = child.release
    // The pump may pause, or wait for a fetch that knows no signals.
    const { signal } = this.#controller
    signal.addEventListener('abort', () => this.#fail(signal.reason), { once: true })
    if (options.start !== undefined) this.#start(options.start)
    this.#settle(first)
    void this.#pump()
  }

  get #last(): Segment {
    return this.#segments.at(-1) ?? this.#first
  }

  get id(): RunId {
    return this.#last.runId
  }

  get segments(): readonly RunSegment[] {
    return this.#segments.map(({ runId, answer }) => ({ runId, answer }))
  }

  get status(): RunHandleStatus {
    if (this.#outcome !== undefined) return this.#outcome.status
    if (this.#starting !== undefined && this.#first.answer.lastSeq === 0) return 'starting'
    return this.#state === 'streaming' && this.answer.status === 'queued' ? 'queued' : this.#state
  }

  get answer(): Answer {
    return this.#last.answer
  }

  get cursor(): string {
    return toCursor(this.id, this.answer.lastSeq)
  }

  get error(): VerbatimError | null {
    const failure = this.#outcome?.failure?.error
    if (isVerbatimError(failure)) return failure
    return this.answer.error === null ? null : VerbatimError.fromWire(this.answer.error)
  }

  get started(): Promise<Run> {
    this.#started ??= quiet(this.#source.getRun(this.#first.runId, this.#controller))
    return this.#started
  }

  get message(): Promise<Message> {
    this.#message ??= quiet(this.#loadMessage())
    return this.#message
  }

  get output(): Promise<JsonValue> {
    this.#output ??= quiet(this.message.then((message) => outputOfMessage(message, this.error)))
    return this.#output
  }

  get partialOutput(): AsyncIterable<JsonValue> {
    const now = () => ({
      answer: this.answer,
      isOver: this.#outcome !== undefined,
      failure: this.#outcome?.failure ?? (this.error === null ? undefined : { error: this.error }),
    })
    return { [Symbol.asyncIterator]: () => partialOutputs({ now, changed: () => this.#waitForMore() }) }
  }

  get batches(): AsyncIterable<FollowedBatch> {
    return { [Symbol.asyncIterator]: () => this.#read() }
  }

  get text(): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => textOfBatches(this.#read()) }
  }

  [Symbol.asyncIterator](): AsyncGenerator<RunEvent, void, void> {
    return eventsOf(this.#read())
  }

  async cancel(): Promise<CancelRunResult> {
    if (this.status === 'starting') await this.started // there is nothing to cancel before
    return await cancelAnswer(this.#source, this.id)
  }

  subscribe(listener: () => void): () => void {
    const unsubscribe = this.#changed.subscribe(listener)
    this.#readerWaits.notify()
    return unsubscribe
  }

  close(): void {
    this.#end({ status: 'closed', failure: { error: closedError('The run handle') } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #start(start: RunStart): void {
    const { signal } = this.#controller
    this.#starting = start(this.#first.runId, { signal }).catch(async (error: unknown) => {
      // Events of the run are here: the start got through, and only its reply was lost.
      if (this.#first.answer.lastSeq > 0) return await this.#source.getRun(this.#first.runId, this.#controller)
      this.#fail(error)
      throw error
    })
    this.#started = quiet(this.#starting)
    void quiet(
      this.#starting.finally(() => {
        this.#starting = undefined
        this.#changed.notify()
      }),
    )
  }

  async #pump(): Promise<void> {
    try {
      for (const segment of this.#segments) await this.#follow(segment) // grows while it is walked
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Reads one run's log into its buffer, to the run's end; pauses while the buffer is full and no reader waits. */
  async #follow(segment: Segment): Promise<void> {
    if (isTerminalStatus(segment.answer.status)) return
    const { after, runId } = segment
    const { signal } = this.#controller
    const options = { after, signal, starting: () => this.#starting, onState: this.#setState.bind(this) }
    for await (const batch of this.#source.follow(runId, options)) {
      if (!this.#showsEarly) await this.#started
      this.#accept(segment, batch)
      while (this.#isIdle()) await this.#readerWaits.wait()
    }
    if (!isTerminalStatus(segment.answer.status)) await this.#loadEnd(segment)
  }

  #isIdle(): boolean {
    const isWatched = this.#waitingReaders > 0 || this.#changed.hasListeners
    return this.#outcome === undefined && this.#last.buffer.isFull && !isWatched
  }

  #accept(segment: Segment, batch: EventBatch): void {
    for (const event of batch.events) {
      if (event.type === 'run_started' || event.type === 'run_queued') segment.sessionId = event.sessionId
    }
    const answer = reduceEvents(segment.answer, batch)
    segment.answer = segment.isWhole ? answer : { ...answer, content: [], cycleStart: 0, partialInputs: {} }
    segment.buffer.add(batch)
    this.#settle(segment)
  }

  /** Nothing came after the place that the handle joined at: the run had ended there. */
  async #loadEnd(segment: Segment): Promise<void> {
    const run = await this.#source.getRun(segment.runId, this.#controller)
    const { status, metrics, messageId, error } = run
    const continuedBy = (run as Partial<Run>).continuedBy ?? null // an older server does not send it
    if (!isTerminalStatus(status)) {
      throw new VerbatimError('INTERNAL', 'The server ended the stream of a run that goes on')
    }
    segment.sessionId = run.sessionId
    segment.answer = { ...segment.answer, status, metrics, messageId, error, continuedBy }
    this.#settle(segment)
  }

  /** When the run has ended, the next one is there before a reader notices, or the handle ends. */
  #settle({ answer: { status, continuedBy } }: Segment): void {
    if (!isTerminalStatus(status)) return this.#changed.notify()
    if (continuedBy === null || !this.#followContinuations) return this.#end({ status })
    this.#segments.push(createSegment(this.#source, continuedBy))
    this.#changed.notify()
  }

  async #loadMessage(): Promise<Message> {
    while (this.#outcome === undefined) await this.#waitForMore()
    if (this.#outcome.failure !== undefined) throw this.#outcome.failure.error
    if (this.error !== null && this.#outcome.status === 'failed') throw this.error
    const { runId, sessionId, answer } = this.#last
    if (answer.messageId === null) {
      throw new VerbatimError('MESSAGE_NOT_FOUND', 'The run was cancelled in the queue; it has no message')
    }
    const session = sessionId ?? (await this.#source.getRun(runId)).sessionId
    return await this.#source.getMessage(session, answer.messageId)
  }

  /** Every batch from where the handle began, whenever this is called. */
  async *#read(): AsyncGenerator<FollowedBatch, void, void> {
    for (const segment of this.#segments) yield* withCursors(segment.runId, this.#readSegment(segment))
  }

  async *#readSegment(segment: Segment): AsyncGenerator<EventBatch, void, void> {
    let seq = segment.after
    for (;;) {
      const next = segment.buffer.after(seq)
      if (next === 'dropped') {
        for await (const batch of this.#readAgain(segment, seq)) {
          seq = lastSeqOf(batch)
          yield batch
        }
      } else if (next !== undefined) {
        seq = lastSeqOf(next)
        yield next
      } else if (isTerminalStatus(segment.answer.status)) return
      else if (this.#outcome?.failure !== undefined) throw this.#outcome.failure.error
      else await this.#waitForMore()
    }
  }

  /** What the buffer no longer holds, from the source, up to where the buffer begins: a late reader costs no memory. */
  async *#readAgain({ runId, buffer }: Segment, after: number): AsyncGenerator<EventBatch, void, void> {
    const { controller, release } = childController(this.#source.closed, this.#controller.signal)
    try {
      for await (const batch of this.#source.follow(runId, { after, signal: controller.signal })) {
        yield batch
        if (buffer.after(lastSeqOf(batch)) !== 'dropped') return
      }
    } finally {
      release()
    }
  }

  async #waitForMore(): Promise<void> {
    this.#waitingReaders += 1
    this.#readerWaits.notify()
    await this.#changed.wait()
    this.#waitingReaders -= 1
  }

  #setState(state: FollowState): void {
    if (this.#state === state) return
    this.#state = state
    this.#changed.notify()
  }

  #fail(error: unknown): void {
    const isClosed = this.#controller.signal.aborted && error === this.#controller.signal.reason
    this.#end({ status: isClosed ? 'closed' : 'error', failure: { error } })
  }

  #end(outcome: Outcome): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    this.#release()
    if (outcome.failure !== undefined) this.#controller.abort(outcome.failure.error)
    this.#readerWaits.notify()
    this.#changed.notify()
  }
}

/** `promise`, which no caller needs to handle: its rejection also comes through the iterators, `error` and `status`. */
function quiet<TValue>(promise: Promise<TValue>): Promise<TValue> {
  promise.catch(() => {})
  return promise
}
