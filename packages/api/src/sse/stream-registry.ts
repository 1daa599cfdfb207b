/** The streams of one API: their shared timer, their counts, and their end when the API closes. */
import type { EventBatch } from '@verbatim/core'
import { StreamWriter } from './stream-writer.ts'
import type { StreamEnd, StreamFraming, StreamKind, StreamLimits, StreamSink } from './stream-writer.ts'

/** Receives what the metrics count. */
export interface StreamCounters {
  readonly onFrame: (kind: StreamKind) => void
  readonly onEnd: (kind: StreamKind, end: StreamEnd) => void
}

const closeGraceMs = 1_000

export class StreamRegistry {
  /**
   * The frames of batches in tRPC's format. All followers of a run receive the same batch from its tail, so it is encoded once. A frame
   * is kept as long as its batch.
   */
  readonly frames = new WeakMap<EventBatch, string>()
  readonly #limits: StreamLimits
  readonly #counters: StreamCounters
  readonly #streams = new Set<StreamWriter>()
  #timer: ReturnType<typeof setInterval> | undefined
  #isClosed = false
  #onEmpty: (() => void) | undefined

  constructor(limits: StreamLimits, counters: StreamCounters) {
    this.#limits = limits
    this.#counters = counters
  }

  /** Opens a stream on `sink`, whose head is sent. After {@link close} the stream ends at once. */
  open(sink: StreamSink, framing: StreamFraming): StreamWriter {
    const stream = new StreamWriter(sink, framing, {
      onFrame: this.#counters.onFrame,
      onClose: (closed) => this.#remove(closed),
    })
    this.#streams.add(stream)
    this.#startTimer()
    if (this.#isClosed) stream.interrupt('closed')
    return stream
  }

  count(kind: StreamKind): number {
    let count = 0
    for (const stream of this.#streams) if (stream.kind === kind) count++
    return count
  }

  /** Ends every stream early, so that its client reconnects elsewhere; resolves when the last connection is closed. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const stream of this.#streams) stream.interrupt('closed')
    if (this.#streams.size === 0) return
    const empty = new Promise<void>((resolve) => (this.#onEmpty = resolve))
    const timer = setTimeout(() => {
      for (const stream of this.#streams) stream.destroy('closed')
    }, closeGraceMs)
    await empty
    clearTimeout(timer)
  }

  #remove(stream: StreamWriter): void {
    if (!this.#streams.delete(stream)) return
    this.#counters.onEnd(stream.kind, stream.endedBy)
    if (this.#streams.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#onEmpty?.()
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return
    const { heartbeatMs, stalledReaderTimeoutMs, maxStreamMs } = this.#limits
    this.#timer = setInterval(
      () => {
        const now = performance.now()
        for (const stream of this.#streams) stream.tick(now, this.#limits)
      },
      Math.min(heartbeatMs, stalledReaderTimeoutMs, maxStreamMs) / 4,
    )
  }
}
