/**
 * The handle of an answer that may come in parts: when its run is interrupted and the server goes on with another, that one is
 * followed next. In: a run. Out: one handle over it and whatever continues it; each part is a handle of its own underneath.
 */
import { emptyAnswer } from '@verbatim/core'
import type { Answer, CancelRunResult, Message, Run, RunEvent, RunId, VerbatimError } from '@verbatim/core'
import { createRunHandle } from './open-run.ts'
import type { RunContext, RunOrigin } from './open-run.ts'
import { eventsOf, textOfBatches } from './run.ts'
import type { FollowedBatch, RunHandle, RunHandleStatus } from './run.ts'

/** A handle that stays with its answer over every run that makes it. */
export function createAnswerHandle(context: RunContext, origin: RunOrigin): RunHandle {
  return new FollowedAnswer(context, origin)
}

class FollowedAnswer implements RunHandle {
  readonly #context: RunContext
  readonly #signal: AbortSignal | undefined
  readonly #first: RunHandle
  readonly #parts: RunHandle[]
  /** What each subscriber's subscription to the last part is undone by. */
  readonly #subscribers = new Map<() => void, () => void>()

  constructor(context: RunContext, origin: RunOrigin) {
    this.#context = context
    this.#signal = origin.signal
    this.#first = createRunHandle(context, origin, () => this.#goOn())
    this.#parts = [this.#first]
  }

  get #last(): RunHandle {
    return this.#parts.at(-1) ?? this.#first
  }

  get id(): RunId {
    return this.#last.id
  }

  get runIds(): readonly RunId[] {
    return this.#parts.map(({ id }) => id)
  }

  get status(): RunHandleStatus {
    return this.#last.status
  }

  get answer(): Answer {
    return this.#last.answer
  }

  get cursor(): string {
    return this.#last.cursor
  }

  get error(): VerbatimError | null {
    return this.#last.error
  }

  get started(): Promise<Run> {
    return this.#first.started
  }

  get message(): Promise<Message> {
    const message = this.#lastMessage()
    message.catch(() => {}) // it also comes through the iterators, `error` and `status`
    return message
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
    return await this.#last.cancel()
  }

  subscribe(listener: () => void): () => void {
    const own = () => listener() // the same function may subscribe twice
    this.#subscribers.set(own, this.#last.subscribe(own))
    return () => {
      this.#subscribers.get(own)?.()
      this.#subscribers.delete(own)
    }
  }

  close(): void {
    this.#last.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** Called when a part has ended, before anybody hears of it: whoever reads on finds the next part there. */
  #goOn(): void {
    const next = this.#last.answer.continuedBy
    if (next === null) return
    const origin = { type: 'follow', runId: next, answer: emptyAnswer, isWhole: true, signal: this.#signal } as const
    const part = createRunHandle(this.#context, origin, () => this.#goOn())
    this.#parts.push(part)
    for (const [own, undo] of this.#subscribers) {
      undo()
      this.#subscribers.set(own, part.subscribe(own))
    }
  }

  async *#read(): AsyncGenerator<FollowedBatch, void, void> {
    // By index: a part may be added while the one before is read.
    for (let at = 0; at < this.#parts.length; at++) yield* this.#parts[at]?.batches ?? []
  }

  async #lastMessage(): Promise<Message> {
    for (let at = 0; ; at++) {
      const message = await (this.#parts[at] ?? this.#first).message
      if (at === this.#parts.length - 1) return message
    }
  }
}
