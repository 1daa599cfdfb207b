import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import type { ApiRequest } from '../context.ts'
import type { StreamSink, StreamSinkListener } from '../sse/stream-writer.ts'
import type { CorsOptions } from './cors.ts'
import { collectText, requireLength, sharedHeadersFor } from './exchange.ts'
import type { Exchange, HttpResponse, TrpcCall } from './exchange.ts'

export class FetchExchange implements Exchange {
  readonly request: ApiRequest
  readonly sharedHeaders: Readonly<Record<string, string>>
  readonly closed: AbortSignal
  /** Resolves with what {@link respond}, {@link openStream} or {@link callTrpc} makes. */
  readonly response: Promise<Response>
  readonly #request: Request
  #resolve: (response: Response) => void = () => {}

  constructor(request: Request, cors: CorsOptions | undefined) {
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

  respond({ status, headers = {}, body = '' }: HttpResponse): void {
    const isEmpty = this.request.method === 'HEAD' || body === ''
    this.#resolve(new Response(isEmpty ? null : body, { status, headers: { ...this.sharedHeaders, ...headers } }))
  }

  openStream(headers: Readonly<Record<string, string>>): StreamSink {
    const sink = new FetchSink(this.#request.signal)
    this.#resolve(new Response(sink.body, { status: 200, headers: { ...this.sharedHeaders, ...headers } }))
    return sink
  }

  async callTrpc({ endpoint, body, options }: TrpcCall): Promise<void> {
    const { url, method, headers, signal } = this.#request
    const req = body === undefined ? this.#request : new Request(url, { method, headers, signal, body })
    this.#resolve(await fetchRequestHandler({ ...options, req, endpoint }))
  }
}

/** What Node's own responses hold for a slow reader. */
const maxBufferedBytes = 16 * 1024

class FetchSink implements StreamSink {
  readonly body: ReadableStream<Uint8Array>
  readonly #encoder = new TextEncoder()
  readonly #signal: AbortSignal
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #listener: StreamSinkListener | undefined
  #isClosed = false
  readonly #onAbort = () => this.destroy()

  constructor(signal: AbortSignal) {
    this.#signal = signal
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
    this.#controller?.error(new DOMException('The response was cut off', 'AbortError'))
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
