import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { resolveResponse } from '@trpc/server/http'
import type { ApiRequest } from '../context.ts'
import type { CallerPace } from '../limits/byte-pace.ts'
import type { StreamSink, StreamSinkListener } from '../sse/stream-writer.ts'
import {
  chargeAnswer,
  collectText,
  isStream,
  requestPath,
  requestQuery,
  requireLength,
  sharedHeadersFor,
  streamPace,
} from './exchange.ts'
import type { AnswerLimits, Exchange, ExchangeOptions, HttpResponse, TrpcCall } from './exchange.ts'

/** A Node request, with its body when a body parser has read it. */
export type NodeRequest = IncomingMessage & { readonly body?: unknown }

export class NodeExchange implements Exchange {
  readonly request: ApiRequest
  readonly sharedHeaders: Readonly<Record<string, string>>
  readonly #req: NodeRequest
  readonly #res: ServerResponse
  readonly #answers: AnswerLimits
  #closed: AbortController | undefined
  #isDiscarding = false

  constructor(req: NodeRequest, res: ServerResponse, { cors, answers }: ExchangeOptions) {
    this.#answers = answers
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
      if (this.#res.closed || this.#req.socket.destroyed) closed.abort()
      else whenClosed(this.#req, this.#res, () => closed.abort())
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

  async *readBytes(): AsyncGenerator<Uint8Array, void, void> {
    const { body } = this.#req
    if (body !== undefined && this.#req.readableEnded) yield bytesOf(body)
    else yield* this.#req.iterator({ destroyOnReturn: false })
  }

  discardBody(): void {
    if (!this.#hasUnreadBody() || this.#req.destroyed) return
    this.#isDiscarding = true
    this.#req.resume()
    const giveUp = setTimeout(() => this.#req.socket.destroy(), maxDiscardMs).unref()
    this.#req.once('close', () => clearTimeout(giveUp))
  }

  async sendBytes(
    { status, headers }: { status: number; headers: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.#watchReader(0)
    this.#res.writeHead(status, { ...this.sharedHeaders, ...headers })
    if (this.request.method === 'HEAD') return void this.#res.end()
    try {
      for await (const chunk of bytes) {
        if (this.#res.destroyed) return
        if (!this.#res.write(chunk)) await raceClose(this.#res)
      }
      this.#res.end()
    } catch {
      this.#res.destroy() // the head has gone: the reader sees fewer bytes than it says
    }
  }

  respond({ status, headers = {}, body = '', isCounted = false }: HttpResponse): void {
    if (this.#res.headersSent) return void this.#res.destroy() // the head says another status
    const bytes = Buffer.byteLength(body)
    this.#watchReader(bytes, isCounted)
    // The rest of a refused body stays unread, so the connection cannot serve another request.
    this.#res.writeHead(status, {
      ...this.sharedHeaders,
      ...headers,
      ...(status === 204 || status === 304 ? {} : { 'content-length': String(bytes) }),
      ...(this.#hasUnreadBody() && !this.#isDiscarding ? { connection: 'close' } : {}),
    })
    this.#res.end(this.request.method === 'HEAD' ? '' : body)
  }

  openStream(headers: Readonly<Record<string, string>>): StreamSink {
    this.#res.writeHead(200, { ...this.sharedHeaders, ...headers })
    this.#res.flushHeaders()
    return new NodeSink(this.#res, streamPace(this.#answers, this))
  }

  async callTrpc({ endpoint, body, isCounted, options }: TrpcCall): Promise<void> {
    const { method, headers } = this.request
    const path = requestPath(this.request).slice(endpoint.length + 1)
    // tRPC reads no more of the URL than its query.
    const url = `http://localhost/?${requestQuery(this.request)}`
    const req = new Request(url, { method, headers, signal: this.closed, ...(body === undefined ? {} : { body }) })
    const response = await resolveResponse({ ...options, req, path, error: null })
    const { status } = response
    const answerHeaders = Object.fromEntries(response.headers)
    if (isStream(response)) return await this.#pipe(response, answerHeaders, isCounted)
    this.respond({ status, headers: answerHeaders, body: await response.text(), isCounted })
  }

  async answered(): Promise<void> {
    const { closed } = this
    if (closed.aborted) return
    await new Promise<void>((resolve) => closed.addEventListener('abort', () => resolve(), { once: true }))
  }

  /** The answers of a batch as they come (`httpBatchStreamLink`). */
  async #pipe({ status, body }: Response, headers: Record<string, string>, isCounted: boolean): Promise<void> {
    this.#watchReader(0)
    this.#res.writeHead(status, { ...this.sharedHeaders, ...headers })
    for await (const chunk of body ?? []) {
      if (this.#res.destroyed) return // leaving the loop cancels the calls
      if (!isCounted) chargeAnswer(this.#answers, this.request, chunk.byteLength)
      if (!this.#res.write(chunk)) await raceClose(this.#res)
    }
    this.#res.end()
  }

  /** Cuts the answer off when its reader takes nothing of it for long, or when too much waits for readers. */
  #watchReader(bytes: number, isCounted = false): void {
    const { open, stalledReaderTimeoutMs, callerOf } = this.#answers
    // A response that waits for the one before it holds no socket, so the connection itself ends.
    const cut = () => void (this.#req.httpVersionMajor > 1 ? this.#res.destroy() : this.#req.socket.destroy())
    this.#res.setTimeout(stalledReaderTimeoutMs, cut)
    if (bytes <= uncountedBytes) return
    const caller = callerOf(this.request)
    if (!isCounted) chargeAnswer(this.#answers, this.request, bytes)
    whenClosed(this.#req, this.#res, open.add({ caller, bytes, cut }))
  }

  #hasUnreadBody(): boolean {
    const { headers } = this.request
    const hasBody = headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
    return hasBody && !this.#req.complete
  }
}

/** A body that a body parser has read. */
function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** For the rest of a body that was refused: as long as a slow sender takes for a large file, and no flood lasts longer. */
const maxDiscardMs = 30_000

/** What Node's own buffers hold of a response; less than that is not worth a count. */
const uncountedBytes = 16 * 1024

/** What is to happen when a socket closes. One listener a socket: a client may send many requests at once on it. */
const closings = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `listener` once, when the response is over or its connection is gone. A response that waits for the one before it on the
 * same connection has no socket yet, and says nothing when the connection closes.
 */
function whenClosed({ socket, httpVersionMajor }: NodeRequest, res: ServerResponse, listener: () => void): void {
  const listeners = httpVersionMajor > 1 ? new Set<() => void>() : closingsOf(socket)
  const close = () => {
    if (!listeners.delete(close)) return
    res.off('close', close)
    listener()
  }
  listeners.add(close)
  res.once('close', close)
}

function closingsOf(socket: Socket): Set<() => void> {
  const known = closings.get(socket)
  if (known !== undefined) return known
  const listeners = new Set<() => void>()
  closings.set(socket, listeners)
  socket.once('close', () => {
    for (const close of listeners) close()
  })
  return listeners
}

async function raceClose(res: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      res.off('drain', done)
      res.off('close', done)
      resolve()
    }
    res.on('drain', done)
    res.on('close', done)
  })
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
  readonly pace: CallerPace
  readonly #res: ServerResponse

  constructor(res: ServerResponse, pace: CallerPace) {
    this.pace = pace
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
    // HTTP/1.0 has no sign of a whole body but its end, so only a reset differs from it. nginx speaks it to servers by default.
    if (stream === undefined && this.#res.req.httpVersion === '1.0') this.#res.req.socket.resetAndDestroy()
    else if (stream === undefined) this.#res.destroy()
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
