/** What one reader was given, in the order it was given: the evidence. */
import { isTerminalEvent } from '@verbatim/core'
import type { EventBatch, RunEvent } from '@verbatim/core'

/** Thrown by a reader that was given what no reader may be given. */
export class ViolationError extends Error {
  override readonly name = 'ViolationError'
}

export type HistoryEnd =
  /** The terminal event came, and the stream ended behind it. */
  | 'terminal'
  /** The server says that there is no such run. */
  | 'not_found'
  /** The harness had to stop it. */
  | 'unfinished'

export class History {
  readonly runId: string
  readonly reader: string
  /** Event `i` has the seq `i + 1`; the JSON text as it was parsed. */
  readonly events: string[]
  readonly violations: string[] = []
  /** Where it connected, and why it came back. */
  readonly notes: string[] = []
  end: HistoryEnd = 'unfinished'
  #hasEnded = false

  /** @param seen events that the reader knows already; it goes on behind them */
  constructor(runId: string, reader: string, seen: readonly string[] = []) {
    this.runId = runId
    this.reader = reader
    this.events = [...seen]
  }

  get lastSeq(): number {
    return this.events.length
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** @throws ViolationError when the batch is not what comes next */
  add({ firstSeq, events }: EventBatch): void {
    if (this.#hasEnded) this.#fail(`an event at ${firstSeq} behind the terminal one at ${this.lastSeq}`)
    if (firstSeq > this.lastSeq + 1) this.#fail(`lost: ${this.lastSeq + 1} to ${firstSeq - 1} are missing`)
    if (firstSeq <= this.lastSeq) this.#fail(`given twice: ${firstSeq}, when ${this.lastSeq} had been taken`)
    for (const [at, event] of events.entries()) this.#addEvent(event, { isLast: at === events.length - 1 })
  }

  note(text: string): void {
    if (this.notes.length < 100) this.notes.push(`${text}@${this.lastSeq}`)
  }

  violate(text: string): void {
    this.violations.push(text)
  }

  #addEvent(event: RunEvent, { isLast }: { isLast: boolean }): void {
    this.events.push(JSON.stringify(event))
    if (!isTerminalEvent(event)) return
    this.#hasEnded = true
    if (!isLast) this.#fail(`events behind the terminal one at ${this.lastSeq}`)
  }

  #fail(text: string): never {
    this.violate(text)
    throw new ViolationError(text)
  }
}
