/** What the endpoints are written against: one HTTP call, the same for Node and fetch, and the parts of the API. */
import type { TRPCError } from '@trpc/server'
import { errorOf, excessOfText, isVerbatimError, refuseExcess, VerbatimError } from '@verbatim/core'
import type { Engine, Logger } from '@verbatim/core/server'
import type { ApiOptions } from '../api-options.ts'
import type { ApiContext, ApiRequest, Caller, CredentialsEnd } from '../context.ts'
import type { AppRouter } from '../create-router.ts'
import { leastCallBytes } from '../limits/byte-pace.ts'
import type { BytePace, CallerPace } from '../limits/byte-pace.ts'
import type { KeyedLimit } from '../limits/keyed-limit.ts'
import type { LargeBodies } from '../limits/large-bodies.ts'
import type { Transfers } from '../limits/transfers.ts'
import type { OpenAnswers } from '../limits/open-answers.ts'
import type { Reauthenticator } from '../sse/reauthenticator.ts'
import type { StreamRegistry } from '../sse/stream-registry.ts'
import type { StreamSink, StreamWriter } from '../sse/stream-writer.ts'
import type { CallTurns } from './call-turns.ts'
import { corsHeaders } from './cors.ts'
import type { CorsOptions } from './cors.ts'
import type { Endpoint } from './endpoint.ts'

/** What the endpoints of one API share. */
export interface ApiParts {
  readonly engine: Engine
  readonly logger: Logger | undefined
  readonly options: ApiOptions
  readonly router: AppRouter<ApiContext>
  readonly streams: StreamRegistry
  readonly identify: (request: ApiRequest) => Promise<Caller | null>
  readonly largeBodies: LargeBodies
  readonly answers: AnswerLimits
  /** Where the reads of each principal take turns, those in batches too. */
  readonly reads: KeyedLimit
  /** Where the calls of batches take turns. */
  readonly batchLine: KeyedLimit
  readonly reauthenticator: Reauthenticator
  readonly turns: CallTurns
  readonly transfers: Transfers
  /** Endpoints of other packages. */
  readonly endpoints: readonly Endpoint[]
}

interface WatchedCaller {
  readonly caller: Caller
  readonly request: ApiRequest
  readonly onEnd: (end: CredentialsEnd) => void
}

/** Watches the credentials that `caller` came with, until the result is called. */
export function watchCaller(parts: ApiParts, { request, ...watched }: WatchedCaller): () => void {
  return parts.reauthenticator.watch({ ...watched, identify: async () => await parts.identify(request) })
}

/** Ends `stream` when the credentials of its caller end. */
export function guardStream(parts: ApiParts, stream: StreamWriter, watched: Omit<WatchedCaller, 'onEnd'>): void {
  if (stream.signal.aborted) return
  const release = watchCaller(parts, { ...watched, onEnd: (end) => stream.loseCaller(end) })
  stream.signal.addEventListener('abort', release, { once: true })
}

/** Aborts what is sent to a caller whose credentials end, or who leaves. */
export function guardTransfer(
  parts: ApiParts,
  watched: Omit<WatchedCaller, 'onEnd'>,
  closed: AbortSignal,
): { readonly signal: AbortSignal; readonly release: () => void } {
  const ended = new AbortController()
  const onEnd = () => ended.abort(errorOf('UNAUTHENTICATED'))
  return { signal: AbortSignal.any([closed, ended.signal]), release: watchCaller(parts, { ...watched, onEnd }) }
}

/** What holds for every whole answer. */
export interface AnswerLimits {
  readonly open: OpenAnswers
  readonly pace: BytePace
  /** Of answers alone, and faster: large ones that a caller may have at once leave gaps for the calls of others. */
  readonly readPace: BytePace
  readonly stalledReaderTimeoutMs: number
  /** Names the caller that `identify` found for `request`; the same for all calls of one principal. */
  readonly callerOf: (request: ApiRequest) => string
}

/** What the exchanges of one API share. */
export interface ExchangeOptions {
  readonly cors: CorsOptions | undefined
  readonly answers: AnswerLimits
}

export interface Exchange {
  readonly request: ApiRequest
  /** On every response of this call. */
  readonly sharedHeaders: Readonly<Record<string, string>>
  /** Aborts when the caller has left, or has the whole response. */
  readonly closed: AbortSignal
  /** The whole body as text. @throws VerbatimError `PAYLOAD_TOO_LARGE`, `INVALID_INPUT` when it is not UTF-8 */
  readBody(maxBytes: number): Promise<string>
  /** The body as its bytes come, pulled as fast as they are taken. */
  readBytes(): AsyncIterable<Uint8Array>
  /** Takes the rest of the body and drops it, so that its sender comes to read the answer. Bounded in time. */
  discardBody(): void
  /** Sends bytes as fast as their reader takes them. A failure after the head cuts the connection. */
  sendBytes(
    head: { status: number; headers: Readonly<Record<string, string>> },
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<void>
  /** Sends a whole response. */
  respond(response: HttpResponse): void
  /** Sends the head and leaves the body open. */
  openStream(headers: Readonly<Record<string, string>>): StreamSink
  /** Responds with what tRPC makes of the call; resolves when the response is made. */
  callTrpc(call: TrpcCall): Promise<void>
  /** Resolves when the reader has the response, as far as the exchange can tell. */
  answered(): Promise<void>
}

/** A call for tRPC, with the options that its adapters share. */
export interface TrpcCall {
  /** The path before the procedure's name. */
  readonly endpoint: string
  /** The body that was read; undefined for a query. */
  readonly body: string | undefined
  /** The answers of a batch are counted as its calls end. */
  readonly isCounted: boolean
  readonly options: {
    readonly router: AppRouter<ApiContext>
    readonly maxBatchSize: number
    readonly createContext: () => Promise<ApiContext>
    readonly responseMeta: (answered: { errors: readonly TRPCError[] }) => { headers: Headers }
    readonly onError: (failed: { error: TRPCError; path: string | undefined }) => void
  }
}

export interface HttpResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Empty when left out. */
  readonly body?: string
  /** Its bytes are in its caller's pace already. */
  readonly isCounted?: boolean
}

/** On every response: no cache keeps it, no browser guesses another content type, and no page of another origin embeds it. */
const baseHeaders = {
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
} as const

export function sharedHeadersFor(request: ApiRequest, cors: CorsOptions | undefined): Readonly<Record<string, string>> {
  return { ...baseHeaders, ...corsHeaders(cors, request) }
}

export function jsonResponse(status: number, body: unknown, headers: HttpResponse['headers'] = {}): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(body),
  }
}

/** The error of a plain endpoint: the error as JSON, under its own status. */
export function errorResponse(error: VerbatimError, headers: HttpResponse['headers'] = {}): HttpResponse {
  return jsonResponse(error.httpStatus, { error: error.toWire() }, { ...retryAfterHeader([error]), ...headers })
}

/** The longest wait that one of the errors asks for, in whole seconds. */
export function retryAfterHeader(errors: readonly VerbatimError[]): { 'retry-after'?: string } {
  const waits = errors.flatMap(({ data }) => data.retryAfterMs ?? [])
  return waits.length === 0 ? {} : { 'retry-after': String(Math.ceil(Math.max(...waits) / 1000)) }
}

/** Tells whether tRPC answers piece by piece. */
export function isStream({ headers }: Response): boolean {
  return headers.has('transfer-encoding') || headers.get('content-type')?.startsWith('application/json') !== true
}

/** The path of the request's target, still encoded. The target has no host, so `URL` cannot parse it. */
export function requestPath({ url }: ApiRequest): string {
  return url.split('?', 1).join('')
}

export function requestQuery(request: ApiRequest): URLSearchParams {
  return new URLSearchParams(request.url.slice(requestPath(request).length))
}

/** Counts a whole answer to `request`. */
export function chargeAnswer({ pace, readPace, callerOf }: AnswerLimits, request: ApiRequest, bytes: number): void {
  const caller = callerOf(request)
  pace.charge(caller, bytes)
  readPace.charge(caller, bytes)
}

/** The pace of a stream's large frames: that of answers alone. */
export function streamPace(
  { readPace, callerOf }: AnswerLimits,
  { request, closed }: Pick<Exchange, 'request' | 'closed'>,
): CallerPace {
  return readPace.of(callerOf(request), closed)
}

/** Counts a call, and resolves when its caller is not ahead of its pace. @throws the reason of `closed` */
export async function keepPace({ answers }: ApiParts, { request, closed }: Exchange, bodyBytes = 0): Promise<void> {
  const caller = answers.callerOf(request)
  answers.pace.charge(caller, Math.max(bodyBytes, leastCallBytes))
  await answers.pace.keep(caller, closed)
}

/** Runs `serve` when its caller is not ahead of its pace, and a call with a large body when it may have one under way. @throws VerbatimError `UNAVAILABLE` */
export async function passLargeBody<TResult>(
  parts: ApiParts,
  exchange: Exchange,
  serve: () => Promise<TResult>,
): Promise<TResult> {
  const { largeBodies, answers, options } = parts
  const { request, closed } = exchange
  const isChunked = request.headers.has('transfer-encoding')
  const bodyBytes = isChunked ? options.maxBodyBytes : Number(request.headers.get('content-length') ?? 0)
  await keepPace(parts, exchange, bodyBytes)
  return await largeBodies.pass({ caller: answers.callerOf(request), bodyBytes, signal: closed }, serve)
}

/** The body's text, with no more values than one call may have. @throws VerbatimError */
export async function readBoundedBody(exchange: Exchange, { maxBodyBytes }: ApiOptions): Promise<string> {
  requireJson(exchange.request)
  const text = await exchange.readBody(maxBodyBytes)
  refuseExcess(excessOfText(text))
  return text
}

/** @throws VerbatimError `UNSUPPORTED_MEDIA_TYPE` unless the body's type is JSON, which a form of a foreign page cannot set */
function requireJson({ headers }: ApiRequest): void {
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw errorOf('UNSUPPORTED_MEDIA_TYPE')
}

/** @throws VerbatimError `PAYLOAD_TOO_LARGE` when `content-length` is over `maxBytes` */
export function requireLength({ headers }: ApiRequest, maxBytes: number): void {
  if (Number(headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes)
}

/** Collects a body of at most `maxBytes`. */
export async function collectText(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      parts.push(chunk)
    }
  } catch (cause) {
    throw isVerbatimError(cause) ? cause : brokenOff(cause)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))
  } catch (cause) {
    throw new VerbatimError('INVALID_INPUT', 'The body is not UTF-8 text', { data: { field: '' }, cause })
  }
}

/** The same bytes, while they come: a sender that says nothing for `stallMs` has broken off. */
export async function* withinStall(
  bytes: AsyncIterable<Uint8Array>,
  stallMs: number,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = bytes[Symbol.asyncIterator]()
  let timer: NodeJS.Timeout | undefined
  try {
    while (true) {
      const stalled = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(brokenOff()), stallMs)
      })
      const { done, value } = await Promise.race([reader.next(), stalled]).catch((error: unknown) => {
        throw isVerbatimError(error) ? error : brokenOff(error)
      })
      clearTimeout(timer)
      if (done === true) return
      yield value
    }
  } finally {
    clearTimeout(timer)
    void reader.return?.().catch(() => {}) // a sender that stalls does not answer this either
  }
}

function brokenOff(cause?: unknown): VerbatimError {
  return new VerbatimError('INVALID_INPUT', 'The body broke off', { data: { field: '' }, cause })
}

export function tooLarge(maxBytes: number): VerbatimError {
  return errorOf('PAYLOAD_TOO_LARGE', { data: { maxBytes } })
}
