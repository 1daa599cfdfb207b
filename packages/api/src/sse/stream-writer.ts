/**
 * One stream from its head to the end of its connection. In: items. Out: their text in the sink, never further ahead of its
 * reader than the sink's own buffer. The one timer of `StreamRegistry` calls {@link StreamWriter.tick}, which sends
 * heartbeats and ends old or stalled streams, so an idle stream costs no timer.
 */
import { errorOf } from '@verbatim/core'
import type { CredentialsEnd } from '../context.ts'
import type { CallerPace } from '../limits/byte-pace.ts'

/** Where a stream's text goes: a Node response or a fetch body. It reports back through one listener object, set once. */
export interface StreamSink {
  /** Of the answers of the stream's caller. */
  readonly pace: CallerPace
  /** Takes `text` at once; false when the reader lags: the next write waits for {@link StreamSinkListener.onDrain}. */
  write(text: string): boolean
  /** Ends a whole stream. */
  end(): void
  /** Breaks the connection, so that the reader sees a cut and not an end. */
  destroy(): void
  listen(listener: StreamSinkListener): void
}

export interface StreamSinkListener {
  readonly onDrain: () => void
  /** The sink is closed, by either side; called once. */
  readonly onClose: () => void
}

/** The label of a stream in the metrics. */
export type StreamKind = 'trpc' | 'chat_sse' | 'chat_stream' | 'export' | 'endpoint'

/**
 * Why a stream ended: it is whole, it failed, its reader left or stalled, it was open too long or its caller's credentials ended,
 * its caller was refused, or the server closes.
 */
export type StreamEnd = 'complete' | 'failed' | 'gone' | 'stalled' | 'expired' | 'refused' | 'closed'

export interface StreamLimits {
  readonly heartbeatMs: number
  readonly stalledReaderTimeoutMs: number
  readonly maxStreamMs: number
}

/** How a stream reads on the wire, apart from its items. */
export interface StreamFraming {
  readonly kind: StreamKind
  /** Written after a silence; undefined for formats without a heartbeat. */
  readonly ping: string | undefined
  /** Written when the server ends the stream early; undefined when only a cut differs from the end. */
  readonly interrupted: string | undefined
  /** Exempt from `maxStreamMs`: a stream that ends by itself, and whose client cannot resume it. */
  readonly hasNoAge?: true
  /** What a failed stream still says; undefined cuts the connection. */
  failure(error: unknown): LastWords | undefined
}

/** How a stream of items reads on the wire. */
export interface ItemFraming<TItem> extends StreamFraming {
  /** Comes before the first item. */
  readonly opening: string
  /** An item's text; empty when this format leaves the item out. */
  encode(item: TItem): string
  /** Comes after the last item. */
  readonly ending: string
}

/** The last text of a failed stream. After a final one the client stays away; otherwise the stream ends early and the client reconnects. */
export interface LastWords {
  readonly text: string
  readonly isFinal: boolean
}

/** A frame up to this size keeps no pace, as those of an answer that is being made: it costs less than the wait. */
const smallFrameLength = 16 * 1024

/** Shared by all streams: an error's stack per stream would cost more than the stream. */
const closedReason = new DOMException('The stream is closed', 'AbortError')

export class StreamWriter {
  readonly kind: StreamKind
  readonly #sink: StreamSink
  readonly #framing: StreamFraming
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
    framing: StreamFraming,
    hooks: { onFrame: (kind: StreamKind) => void; onClose: (stream: StreamWriter) => void },
  ) {
    this.kind = framing.kind
    this.#sink = sink
    this.#framing = framing
    this.#onFrame = hooks.onFrame
    sink.listen({
      onDrain: () => this.#drained(),
      onClose: () => {
        this.#abort()
        hooks.onClose(this)
      },
    })
  }

  /** Aborts when the stream takes no more text, whatever the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Why the stream ended; `gone` until then. */
  get endedBy(): StreamEnd {
    return this.#end
  }

  /** Writes the items that `open` yields, as fast as the reader reads. Stops pulling when the stream closes. Never rejects. */
  async pipe<TItem>(
    open: (signal: AbortSignal) => AsyncIterable<TItem> | Promise<AsyncIterable<TItem>>,
    framing: ItemFraming<TItem>,
  ): Promise<void> {
    try {
      if (framing.opening !== '') await this.#write(framing.opening)
      for await (const item of await open(this.signal)) {
        const text = framing.encode(item)
        if (text === '') continue
        if (text.length > smallFrameLength) await this.#keepPace(text)
        const room = this.#write(text)
        if (room !== undefined) await room // awaited only where there is something to wait for: this is the way of every token
      }
      this.#finish(framing.ending, 'complete')
    } catch (error) {
      if (this.signal.aborted) return // the side that closed the stream knows
      this.#fail(error, 'failed')
    }
  }

  /** Ends the stream of a caller whose credentials ended, after the frame that is being written. */
  loseCaller(end: CredentialsEnd): void {
    if (end === 'refused') this.#fail(errorOf('UNAUTHENTICATED'), end)
    else this.interrupt(end)
  }

  #fail(error: unknown, end: StreamEnd): void {
    const last = this.#framing.failure(error)
    if (last?.isFinal === true) this.#finish(last.text, end)
    else this.interrupt(end, last?.text)
  }

  /** Many streams of one caller that begin with a long answer would otherwise take the event loop together. */
  async #keepPace(text: string): Promise<void> {
    this.#sink.pace.charge(text.length)
    await this.#sink.pace.keep()
  }

  /** Writes `text`. The promise, when there is one, resolves once the reader has caught up; the next write waits for it. */
  #write(text: string): Promise<void> | undefined {
    this.signal.throwIfAborted()
    this.#onFrame(this.kind)
    return this.#put(text) ? undefined : this.#room()
  }

  #finish(text: string, end: StreamEnd): void {
    if (this.signal.aborted) return
    this.#end = end
    if (text !== '') this.#put(text)
    this.#endedAt = performance.now()
    this.#sink.end()
    this.#abort()
  }

  /** Ends the stream early, in the way of its format. */
  interrupt(end: StreamEnd, text = this.#framing.interrupted): void {
    if (text !== undefined && this.#blockedSince === undefined) return this.#finish(text, end)
    if (this.signal.aborted) return
    this.#end = end
    this.#abort()
    this.#sink.destroy()
  }

  /** Sends a heartbeat or ends the stream when the time has come; the shared timer calls it. */
  tick(now: number, limits: StreamLimits): void {
    const waitsSince = this.#endedAt ?? this.#blockedSince
    if (waitsSince !== undefined) {
      if (now - waitsSince > limits.stalledReaderTimeoutMs) this.destroy('stalled')
      return
    }
    if (this.#framing.hasNoAge !== true && now - this.#openedAt > limits.maxStreamMs) return this.interrupt('expired')
    const { ping } = this.#framing
    // Early, since the next tick comes a quarter of the time later.
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
