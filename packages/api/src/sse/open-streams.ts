/** All streams of one API: their shared timer, their counts, and their end when the API closes. */
import { OpenStream } from './open-stream.ts'
import type { StreamEnd, StreamKind, StreamLimits, StreamManners } from './open-stream.ts'
import type { StreamSink } from './stream-sink.ts'

/** What an operator may want to know of the streams. */
export interface StreamCounters {
  readonly onFrame: (kind: StreamKind) => void
  readonly onEnd: (kind: StreamKind, end: StreamEnd) => void
}

const closeGraceMs = 1_000

export class OpenStreams {
  readonly #limits: StreamLimits
  readonly #counters: StreamCounters
  readonly #streams = new Set<OpenStream>()
  #timer: ReturnType<typeof setInterval> | undefined
  #isClosed = false
  #onEmpty: (() => void) | undefined

  constructor(limits: StreamLimits, counters: StreamCounters) {
    this.#limits = limits
    this.#counters = counters
  }

  /** Takes over `sink`, whose head is written. After {@link close} the stream ends at once. */
  open(sink: StreamSink, manners: StreamManners): OpenStream {
    const stream = new OpenStream(sink, manners, {
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

  /** Ends every stream before its time, so that clients go elsewhere; resolves when the last connection is done. */
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

  #remove(stream: OpenStream): void {
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
