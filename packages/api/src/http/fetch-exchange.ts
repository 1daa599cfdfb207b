import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import type { ApiRequest } from '../context.ts'
import type { CallerPace } from '../limits/byte-pace.ts'
import type { StreamSink, StreamSinkListener } from '../sse/stream-writer.ts'
import { chargeAnswer, collectText, isStream, requireLength, sharedHeadersFor, streamPace } from './exchange.ts'
import type { AnswerLimits, Exchange, ExchangeOptions, HttpResponse, TrpcCall } from './exchange.ts'

export class FetchExchange implements Exchange {
  readonly request: ApiRequest
  readonly sharedHeaders: Readonly<Record<string, string>>
  readonly closed: AbortSignal
  /** Resolves with what {@link respond}, {@link openStream} or {@link callTrpc} makes. */
  readonly response: Promise<Response>
  readonly #request: Request
  readonly #answers: AnswerLimits
  #resolve: (response: Response) => void = () => {}

  constructor(request: Request, { cors, answers }: ExchangeOptions) {
    this.#answers = answers
    this.#request = request
    const { pathname, search } = new URL(request.url)
    this.request = { method: request.method, url: pathname + search, headers: request.headers }
    this.closed = request.signal
    this.sharedHeaders = sharedHeadersFor(this.request, cors)
    this.response = new Promise((resolve) => (this.#resolve = resolve))
  }

  async readBody(maxBytes: number): Promise<string> {
    requireLength(this.request, maxBytes)
    return await collectText(this.#request.body ?? new ReadableStream({ start: (body) => body.close() }), maxBytes)
  }

  async *readBytes(): AsyncGenerator<Uint8Array, void, void> {
    yield* this.#request.body ?? []
  }

  /** The server that made the request sees to it. */
  discardBody(): void {}

  async sendBytes(
    { status, headers }: { status: number; headers: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const isEmpty = this.request.method === 'HEAD'
    const sent = new Promise<void>((resolve) => {
      const body = isEmpty ? null : pulledFrom(bytes, { stallMs: this.#answers.stalledReaderTimeoutMs, onEnd: resolve })
      this.#resolve(new Response(body, { status, headers: { ...this.sharedHeaders, ...headers } }))
    })
    if (!isEmpty) await sent
  }

  respond({ status, headers = {}, body = '', isCounted = false }: HttpResponse): void {
    const isEmpty = this.request.method === 'HEAD' || body === ''
    const sent = isEmpty ? null : body.length > sliceBytes ? this.#sliced(Buffer.from(body), isCounted) : body
    this.#resolve(new Response(sent, { status, headers: { ...this.sharedHeaders, ...headers } }))
  }

  openStream(headers: Readonly<Record<string, string>>): StreamSink {
    const sink = new FetchSink(this.#request.signal, streamPace(this.#answers, this))
    this.#resolve(new Response(sink.body, { status: 200, headers: { ...this.sharedHeaders, ...headers } }))
    return sink
  }

  async callTrpc({ endpoint, body, isCounted, options }: TrpcCall): Promise<void> {
    const { url, method, headers, signal } = this.#request
    const req = body === undefined ? this.#request : new Request(url, { method, headers, signal, body })
    const response = await fetchRequestHandler({ ...options, req, endpoint })
    if (isStream(response)) return this.#resolve(response)
    this.respond({
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: await response.text(),
      isCounted,
    })
  }

  /** The server that made the request knows, and nothing tells. */
  async answered(): Promise<void> {}

  /** A body that its reader takes piece by piece, and that ends when it takes none for long. */
  #sliced(body: Uint8Array<ArrayBuffer>, isCounted: boolean): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { open, stalledReaderTimeoutMs, callerOf } = this.#answers
    const caller = callerOf(this.request)
    if (!isCounted) chargeAnswer(this.#answers, this.request, body.length)
    let at = 0
    let timer: ReturnType<typeof setTimeout> | undefined
    let cut = () => {}
    const wait = () => (timer = setTimeout(() => cut(), stalledReaderTimeoutMs))
    const remove = open.add({ caller, bytes: body.length, cut: () => cut() })
    const stop = () => {
      clearTimeout(timer)
      remove()
    }
    return new ReadableStream(
      {
        start(controller) {
          cut = () => {
            stop()
            controller.error(cutOff())
          }
          wait()
        },
        pull(controller) {
          clearTimeout(timer)
          controller.enqueue(body.subarray(at, (at += sliceBytes)))
          if (at < body.length) return void wait()
          stop()
          controller.close()
        },
        cancel: stop,
      },
      { highWaterMark: 0 },
    )
  }
}

interface PulledBody {
  readonly stallMs: number
  /** Called when the body takes no more. */
  readonly onEnd: () => void
}

/** A body that pulls `bytes` as its reader takes them, and that ends when it takes none for long. */
function pulledFrom(
  bytes: AsyncIterable<Uint8Array>,
  { stallMs, onEnd }: PulledBody,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = bytes[Symbol.asyncIterator]()
  let timer: ReturnType<typeof setTimeout> | undefined
  const stop = async () => {
    clearTimeout(timer)
    onEnd()
    await reader.return?.()
  }
  const wait = (controller: ReadableStreamDefaultController) => {
    timer = setTimeout(() => {
      controller.error(cutOff())
      stop().catch(() => {}) // the body has failed already
    }, stallMs)
  }
  return new ReadableStream(
    {
      start: wait,
      async pull(controller) {
        clearTimeout(timer)
        try {
          const { done, value } = await reader.next()
          if (done === true) controller.close()
          else controller.enqueue(new Uint8Array(value))
          if (done !== true) return wait(controller)
        } catch {
          controller.error(cutOff())
        }
        await stop()
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  )
}

/** A body over this size goes to its reader in pieces of it. */
const sliceBytes = 64 * 1024

function cutOff(): DOMException {
  return new DOMException('The response was cut off', 'AbortError')
}

/** What Node's own responses hold for a slow reader. */
const maxBufferedBytes = 16 * 1024

class FetchSink implements StreamSink {
  readonly body: ReadableStream<Uint8Array>
  readonly pace: CallerPace
  readonly #encoder = new TextEncoder()
  readonly #signal: AbortSignal
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #listener: StreamSinkListener | undefined
  #isClosed = false
  readonly #onAbort = () => this.destroy()

  constructor(signal: AbortSignal, pace: CallerPace) {
    this.#signal = signal
    this.pace = pace
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#listener?.onDrain(),
        cancel: () => this.#close(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: maxBufferedBytes }),
    )
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  write(text: string): boolean {
    if (this.#isClosed) return false
    this.#controller?.enqueue(this.#encoder.encode(text))
    return (this.#controller?.desiredSize ?? 0) > 0
  }

  end(): void {
    if (this.#isClosed) return
    this.#controller?.close()
    this.#close()
  }

  destroy(): void {
    if (this.#isClosed) return
    this.#controller?.error(cutOff())
    this.#close()
  }

  listen(listener: StreamSinkListener): void {
    this.#listener = listener
    if (this.#signal.aborted) queueMicrotask(this.#onAbort)
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#signal.removeEventListener('abort', this.#onAbort)
    const listener = this.#listener
    // Later than the caller's own step, which may still note why it closed.
    queueMicrotask(() => listener?.onClose())
  }
}
