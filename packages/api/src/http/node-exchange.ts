import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiRequest } from '../context.ts'
import type { StreamSink, StreamSinkListener } from '../sse/stream-sink.ts'
import type { CorsOptions } from './cors.ts'
import { readText, requireLength, sharedHeadersFor, splitTarget } from './exchange.ts'
import type { Answer, Exchange } from './exchange.ts'

/** A Node request, and its body when a body parser has been there before us. */
export type NodeRequest = IncomingMessage & { readonly body?: unknown }

export class NodeExchange implements Exchange {
  readonly request: ApiRequest
  readonly path: string
  readonly query: URLSearchParams
  readonly sharedHeaders: Readonly<Record<string, string>>
  readonly #req: NodeRequest
  readonly #res: ServerResponse
  #closed: AbortController | undefined

  constructor(req: NodeRequest, res: ServerResponse, cors: CorsOptions | undefined) {
    const url = req.url ?? '/'
    this.#req = req
    this.#res = res
    this.request = {
      method: req.method ?? 'GET',
      url,
      headers: toHeaders(req),
      remoteAddress: req.socket.remoteAddress,
    }
    const { path, query } = splitTarget(url)
    this.path = path
    this.query = query
    this.sharedHeaders = sharedHeadersFor(this.request, cors)
  }

  get closed(): AbortSignal {
    if (this.#closed === undefined) {
      const closed = (this.#closed = new AbortController())
      if (this.#res.closed) closed.abort()
      else this.#res.once('close', () => closed.abort())
    }
    return this.#closed.signal
  }

  async readBody(maxBytes: number): Promise<string> {
    const { body } = this.#req
    if (body !== undefined && this.#req.readableEnded) return typeof body === 'string' ? body : JSON.stringify(body)
    requireLength(this.request, maxBytes)
    // The socket must outlive a body that is refused half-way, or the refusal would never arrive.
    return await readText(this.#req.iterator({ destroyOnReturn: false }), maxBytes)
  }

  answer({ status, headers = {}, body = '' }: Answer): void {
    if (this.#res.headersSent) return void this.#res.destroy() // too late to say it
    // The rest of a refused body is not read, so the connection cannot serve another request.
    this.#res.writeHead(status, {
      ...this.sharedHeaders,
      ...headers,
      ...(status === 204 ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      ...(this.#hasUnreadBody() ? { connection: 'close' } : {}),
    })
    this.#res.end(this.request.method === 'HEAD' ? '' : body)
  }

  openStream(headers: Readonly<Record<string, string>>): StreamSink {
    this.#res.writeHead(200, { ...this.sharedHeaders, ...headers })
    this.#res.flushHeaders()
    return new NodeSink(this.#res)
  }

  #hasUnreadBody(): boolean {
    const { headers } = this.request
    const hasBody = headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
    return hasBody && !this.#req.complete
  }
}

/** HTTP/2's pseudo-headers are no headers. */
function toHeaders(req: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(req.headers)) {
    if (value === undefined || name.startsWith(':')) continue
    for (const single of Array.isArray(value) ? value : [value]) headers.append(name, single)
  }
  return headers
}

const http2InternalError = 2

class NodeSink implements StreamSink {
  readonly #res: ServerResponse

  constructor(res: ServerResponse) {
    this.#res = res
  }

  write(text: string): boolean {
    return this.#res.write(text)
  }

  end(): void {
    this.#res.end()
  }

  destroy(): void {
    const { stream } = this.#res as { stream?: { close(code: number): void } } // an HTTP/2 response has one
    if (stream === undefined) this.#res.destroy()
    // Destroyed without a code, it would look to the reader like an answer that is whole.
    else stream.close(http2InternalError)
  }

  listen({ onDrain, onClose }: StreamSinkListener): void {
    this.#res.on('error', () => {}) // `close` follows and says all there is to say
    this.#res.on('drain', onDrain)
    this.#res.once('close', onClose)
    if (this.#res.closed) queueMicrotask(onClose)
  }
}
