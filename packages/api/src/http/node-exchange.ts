import type { IncomingMessage, ServerResponse } from 'node:http'
import { nodeHTTPRequestHandler } from '@trpc/server/adapters/node-http'
import type { ApiRequest } from '../context.ts'
import type { StreamSink, StreamSinkListener } from '../sse/stream-writer.ts'
import type { CorsOptions } from './cors.ts'
import { collectText, requestPath, requireLength, sharedHeadersFor } from './exchange.ts'
import type { Exchange, HttpResponse, TrpcCall } from './exchange.ts'

/** A Node request, with its body when a body parser has read it. */
export type NodeRequest = IncomingMessage & { readonly body?: unknown }

export class NodeExchange implements Exchange {
  readonly request: ApiRequest
  readonly sharedHeaders: Readonly<Record<string, string>>
  readonly #req: NodeRequest
  readonly #res: ServerResponse
  #closed: AbortController | undefined

  constructor(req: NodeRequest, res: ServerResponse, cors: CorsOptions | undefined) {
    this.#req = req
    this.#res = res
    this.request = {
      method: req.method ?? 'GET',
      url: req.url ?? '/',
      headers: toHeaders(req),
      remoteAddress: req.socket.remoteAddress,
    }
    this.sharedHeaders = sharedHeadersFor(this.request, cors)
  }

  get closed(): AbortSignal {
    if (this.#closed === undefined) {
      const closed = (this.#closed = new AbortController())
      const close = () => closed.abort()
      if (this.#res.closed) close()
      else this.#res.once('close', close)
      // The response to a pipelined request has no socket yet, so it would not close with it.
      if (this.#res.socket === null) this.#req.socket.setMaxListeners(0).once('close', close)
    }
    return this.#closed.signal
  }

  async readBody(maxBytes: number): Promise<string> {
    const { body } = this.#req
    if (body !== undefined && this.#req.readableEnded) return typeof body === 'string' ? body : JSON.stringify(body)
    requireLength(this.request, maxBytes)
    // The socket must outlive a body that is refused half-way, or the client would not receive the refusal.
    return await collectText(this.#req.iterator({ destroyOnReturn: false }), maxBytes)
  }

  respond({ status, headers = {}, body = '' }: HttpResponse): void {
    if (this.#res.headersSent) return void this.#res.destroy() // the head says another status
    // The rest of a refused body stays unread, so the connection cannot serve another request.
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

  async callTrpc({ endpoint, body, options }: TrpcCall): Promise<void> {
    // tRPC answers a target that is no URL by itself, without the headers of this call.
    for (const [name, value] of Object.entries(this.sharedHeaders)) this.#res.setHeader(name, value)
    if (body !== undefined) Object.assign(this.#req, { body }) // where tRPC finds a body that was read
    const path = requestPath(this.request).slice(endpoint.length + 1)
    await nodeHTTPRequestHandler({ ...options, req: this.#req, res: this.#res, path })
  }

  #hasUnreadBody(): boolean {
    const { headers } = this.request
    const hasBody = headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
    return hasBody && !this.#req.complete
  }
}

/** Leaves out the pseudo-headers of HTTP/2. */
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
    // Destroyed without a code, the response would look whole to the reader.
    else stream.close(http2InternalError)
  }

  listen({ onDrain, onClose }: StreamSinkListener): void {
    this.#res.on('error', () => {}) // `close` follows
    this.#res.on('drain', onDrain)
    this.#res.once('close', onClose)
    if (this.#res.closed) queueMicrotask(onClose)
  }
}
