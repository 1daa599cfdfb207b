/**
 * One answer that is being streamed, from its head to the closing of its connection. In: text. Out: the sink, never further ahead
 * of its reader than the sink's own buffer. Heartbeat, longest duration and stalled readers are judged by the one timer of
 * {@link OpenStreams}, so an idle stream costs no timer.
 */
import type { StreamSink } from './stream-sink.ts'

/** Streams are counted by these. */
export type StreamKind = 'trpc' | 'chat_sse' | 'chat_stream'

/** Why a stream ended: it was whole, it failed, its reader left or stalled, it was open too long, or the server closes. */
export type StreamEnd = 'complete' | 'failed' | 'gone' | 'stalled' | 'expired' | 'closed'

export interface StreamLimits {
  readonly heartbeatMs: number
  readonly stalledReaderTimeoutMs: number
  readonly maxStreamMs: number
}

/** The parts of a stream's format that do not depend on its items. */
export interface StreamManners {
  readonly kind: StreamKind
  /** Written when the stream was silent for a while; undefined for formats that have no such thing. */
  readonly ping: string | undefined
  /** Written when the server ends the stream before its time; undefined when only a cut tells that apart from the end. */
  readonly interrupted: string | undefined
}

/** One for all: an error's stack per stream would cost more than the stream. */
const closedReason = new DOMException('The stream is closed', 'AbortError')

export class OpenStream {
  readonly kind: StreamKind
  readonly #sink: StreamSink
  readonly #manners: StreamManners
  readonly #onFrame: (kind: StreamKind) => void
  readonly #controller = new AbortController()
  readonly #openedAt = performance.now()
  #lastWriteAt = this.#openedAt
  #blockedSince: number | undefined
  #endedAt: number | undefined
  #settle: { resolve: () => void; reject: (reason: unknown) => void } | undefined
  #end: StreamEnd = 'gone'

  constructor(
    sink: StreamSink,
    manners: StreamManners,
    hooks: { onFrame: (kind: StreamKind) => void; onClose: (stream: OpenStream) => void },
  ) {
    this.kind = manners.kind
    this.#sink = sink
    this.#manners = manners
    this.#onFrame = hooks.onFrame
    sink.listen({
      onDrain: () => this.#drained(),
      onClose: () => {
        this.#abort()
        hooks.onClose(this)
      },
    })
  }

  /** Aborts when nothing more can be written, for whatever reason. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Why the stream ended; `gone` until then. */
  get endedBy(): StreamEnd {
    return this.#end
  }

  /** Writes `text`. Wait for the promise, when there is one, before the next: it resolves once the reader has caught up. */
  write(text: string): Promise<void> | undefined {
    this.signal.throwIfAborted()
    this.#onFrame(this.kind)
    return this.#put(text) ? undefined : this.#room()
  }

  /** The stream is whole. */
  finish(text: string, end: StreamEnd = 'complete'): void {
    if (this.signal.aborted) return
    this.#end = end
    if (text !== '') this.#put(text)
    this.#endedAt = performance.now()
    this.#sink.end()
    this.#abort()
  }

  /** Ends the stream before its time, as its format does that. */
  interrupt(end: StreamEnd, text = this.#manners.interrupted): void {
    if (text !== undefined && this.#blockedSince === undefined) return this.finish(text, end)
    if (this.signal.aborted) return
    this.#end = end
    this.#abort()
    this.#sink.destroy()
  }

  /** Looks at the clock; called by the shared timer. */
  tick(now: number, limits: StreamLimits): void {
    const waitsSince = this.#endedAt ?? this.#blockedSince
    if (waitsSince !== undefined) {
      if (now - waitsSince > limits.stalledReaderTimeoutMs) this.destroy('stalled')
      return
    }
    if (now - this.#openedAt > limits.maxStreamMs) return this.interrupt('expired')
    const { ping } = this.#manners
    // Somewhat early, since the next look comes only after a quarter of the time.
    const isDue = now - this.#lastWriteAt > limits.heartbeatMs * 0.75
    if (ping !== undefined && isDue && !this.#put(ping)) this.#blockedSince = now
  }

  destroy(end: StreamEnd): void {
    if (!this.signal.aborted) this.#end = end
    this.#abort()
    this.#sink.destroy()
  }

  #put(text: string): boolean {
    this.#lastWriteAt = performance.now()
    return this.#sink.write(text)
  }

  #room(): Promise<void> {
    this.#blockedSince ??= performance.now()
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  #drained(): void {
    this.#blockedSince = undefined
    this.#settle?.resolve()
    this.#settle = undefined
  }

  #abort(): void {
    if (this.signal.aborted) return
    this.#controller.abort(closedReason)
    this.#settle?.reject(closedReason)
    this.#settle = undefined
  }
}
