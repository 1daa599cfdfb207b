/** The history of one reader: what it received, in the order in which it came. */
import { isTerminalEvent } from '@verbatim/core'
import type { EventBatch, RunEvent } from '@verbatim/core'

/** A reader received what no reader may receive. */
export class ViolationError extends Error {
  override readonly name = 'ViolationError'
}

export function parseEvents(texts: readonly string[]): RunEvent[] {
  return texts.map((text) => JSON.parse(text) as RunEvent)
}

export type HistoryEnd =
  /** The terminal event came, and then the stream ended. */
  | 'terminal'
  /** The server says that there is no such run. */
  | 'not_found'
  /** The harness stopped the reader. */
  | 'unfinished'

export class History {
  readonly runId: string
  readonly reader: string
  /** The JSON text of each event; event `i` has the seq `i + 1`. */
  readonly events: string[]
  readonly violations: string[] = []
  end: HistoryEnd = 'unfinished'
  hasEnded = false

  /** @param seen events that the reader already has; it reads on after them */
  constructor(runId: string, reader: string, seen: readonly string[] = []) {
    this.runId = runId
    this.reader = reader
    this.events = [...seen]
  }

  get lastSeq(): number {
    return this.events.length
  }

  get last(): RunEvent | undefined {
    return parseEvents(this.events.slice(-1))[0]
  }

  /** @throws ViolationError when the batch is not the next one */
  add({ firstSeq, events }: EventBatch): void {
    if (this.hasEnded) this.#fail(`an event at ${firstSeq} after the terminal one at ${this.lastSeq}`)
    if (firstSeq > this.lastSeq + 1) this.#fail(`lost: ${this.lastSeq + 1} to ${firstSeq - 1} are missing`)
    if (firstSeq <= this.lastSeq) this.#fail(`doubled: ${firstSeq} came again at ${this.lastSeq}`)
    for (const event of events) {
      if (this.hasEnded) this.#fail(`an event after the terminal one at ${this.lastSeq}`)
      this.events.push(JSON.stringify(event))
      this.hasEnded = isTerminalEvent(event)
    }
  }

  violate(text: string): void {
    this.violations.push(text)
  }

  #fail(text: string): never {
    this.violate(text)
    throw new ViolationError(text)
  }
}
