/** One HTTP call, the same for Node and fetch: what the endpoints are written against. */
import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ApiRequest } from '../context.ts'
import type { StreamSink } from '../sse/stream-sink.ts'
import { corsHeaders } from './cors.ts'
import type { CorsOptions } from './cors.ts'

export interface Exchange {
  readonly request: ApiRequest
  /** The path, still encoded, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** On every answer of this call. */
  readonly sharedHeaders: Readonly<Record<string, string>>
  /** Aborts when the caller is gone, or has the whole answer. */
  readonly closed: AbortSignal
  /** The whole body as text. @throws VerbatimError `PAYLOAD_TOO_LARGE`, `INVALID_INPUT` when it is not UTF-8 */
  readBody(maxBytes: number): Promise<string>
  /** Answers at once. */
  answer(answer: Answer): void
  /** Sends the head and leaves the body open. */
  openStream(headers: Readonly<Record<string, string>>): StreamSink
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Empty when left out. */
  readonly body?: string
}

/** On every answer: nothing here is for a cache, nor to be read as anything but what it says it is. */
const baseHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const

export function sharedHeadersFor(request: ApiRequest, cors: CorsOptions | undefined): Readonly<Record<string, string>> {
  return { ...baseHeaders, ...corsHeaders(cors, request) }
}

export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  // Proxies that compress or collect would hold the stream back.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
} as const

export function jsonAnswer(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(body),
  }
}

/** Path and query of a request's target, taken apart without a host to lean on. */
export function splitTarget(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf('?')
  return mark === -1
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) }
}

/** @throws VerbatimError `UNSUPPORTED_MEDIA_TYPE` unless the body says that it is JSON: a form of a foreign page cannot say that */
export function requireJson({ headers }: ApiRequest): void {
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw new VerbatimError('UNSUPPORTED_MEDIA_TYPE')
}

/** @throws VerbatimError `PAYLOAD_TOO_LARGE` for a body that is announced as longer */
export function requireLength({ headers }: ApiRequest, maxBytes: number): void {
  if (Number(headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
}

/** Collects a body of at most `maxBytes`. */
export async function readText(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      parts.push(chunk)
    }
  } catch (cause) {
    throw isVerbatimError(cause) ? cause : new VerbatimError('INVALID_INPUT', 'The body broke off', { cause })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))
  } catch (cause) {
    throw new VerbatimError('INVALID_INPUT', 'The body is not UTF-8 text', { data: { field: '' }, cause })
  }
}

function tooLarge(maxBytes: number): VerbatimError {
  return new VerbatimError('PAYLOAD_TOO_LARGE', undefined, { data: { maxBytes } })
}
