/**
 * Endpoints that other packages add: another protocol over the same engine. The API names the caller, counts the call against every
 * limit, answers what fails and writes the streams; the endpoint only translates.
 */
import { errorOf, ownerOf, VerbatimError } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { eventStreamHeaders, lastWordsOf } from '../sse/event-stream.ts'
import type { ItemFraming } from '../sse/stream-writer.ts'
import { requireCaller } from './chat-run.ts'
import { isVouchedFor } from './cors.ts'
import {
  guardStream,
  jsonResponse,
  passLargeBody,
  requestQuery,
  requireLength,
  tooLarge,
  withinStall,
} from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

/** An endpoint of another package. */
export interface Endpoint {
  /** Comes after `basePath`; a segment such as `:id` stands for any one. Also the endpoint's name in the metrics. */
  readonly path: string
  readonly methods: Readonly<Partial<Record<'GET' | 'POST', ServeEndpoint>>>
  /** Headers of its answers that pages of listed origins may read. */
  readonly exposedHeaders?: readonly string[]
}

/** Serves one call. What it throws is answered as the API answers all errors: a `VerbatimError` as it is, any other masked. */
export type ServeEndpoint = (call: EndpointCall) => Promise<EndpointAnswer>

/** A call of an {@link Endpoint}, whose caller is known. */
export interface EndpointCall {
  readonly engine: Engine
  readonly owner: Owner
  /** The segments of the path that the endpoint names. */
  readonly params: ReadonlyMap<string, string>
  readonly query: URLSearchParams
  readonly headers: Headers
  /** Aborts when the caller has left. */
  readonly signal: AbortSignal
  /**
   * The body as its bytes come. Its type is JSON, or with `acceptsText` also plain text, which `fetch` names where its caller does not.
   *
   * @throws VerbatimError `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `INVALID_INPUT` when it breaks off
   */
  readBody(limits: { readonly maxBytes: number; readonly acceptsText?: boolean }): AsyncIterable<Uint8Array>
}

export type EndpointAnswer = EndpointResponse | EndpointStream

/** A whole answer. */
export interface EndpointResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON; no body when left out. */
  readonly json?: unknown
}

/**
 * Server-sent events, with heartbeats. A stream that the server must end early (it stops, the credentials end, the database is away) is
 * cut, so that a clean end always means that `items` has ended.
 */
export interface EndpointStream {
  readonly headers?: Readonly<Record<string, string>>
  /** The frames, pulled as fast as the reader takes them, until `signal` aborts. */
  readonly items: (signal: AbortSignal) => AsyncIterable<string>
  /** The last frames of a stream that fails for good. */
  readonly lastWords: (error: VerbatimError) => string
}

export type Serve = (exchange: Exchange) => Promise<void>
export type Methods = Readonly<Partial<Record<'GET' | 'HEAD' | 'POST', Serve>>>

/** What serves a path. */
export interface FoundEndpoint {
  readonly route: string
  readonly methods: Methods
}

/** Finds the further endpoint of a path after `basePath`. */
export function createEndpointFinder(parts: ApiParts) {
  const known = parts.endpoints.map((endpoint) => ({ endpoint, segments: segmentsOf(endpoint.path) }))
  return (path: string): FoundEndpoint | undefined => {
    for (const { endpoint, segments } of known) {
      const params = match(segments, path)
      if (params !== undefined) return { route: endpoint.path, methods: toMethods(parts, endpoint, params) }
    }
    return undefined
  }
}

/** @throws VerbatimError `INVALID_CONFIGURATION` */
function segmentsOf(path: string): readonly string[] {
  if (/^(\/:?[A-Za-z0-9._~-]+)+$/.test(path)) return path.split('/')
  throw new VerbatimError('INVALID_CONFIGURATION', `The endpoint's path ${path}: use segments such as /chat/:id`)
}

function match(segments: readonly string[], path: string): ReadonlyMap<string, string> | undefined {
  const found = path.split('/')
  const params = new Map<string, string>()
  if (found.length !== segments.length) return undefined
  for (const [at, segment] of segments.entries()) {
    const text = found[at] ?? ''
    if (segment.startsWith(':') && text !== '') params.set(segment.slice(1), text)
    else if (segment !== text) return undefined
  }
  return params
}

function toMethods(parts: ApiParts, { methods, path }: Endpoint, params: ReadonlyMap<string, string>): Methods {
  const served = Object.entries(methods).map(([method, serve]) => [
    method,
    async (exchange: Exchange) => await serveEndpoint(parts, exchange, { serve, params, path }),
  ])
  return Object.fromEntries(served) as Methods // the same keys
}

interface ServedEndpoint {
  readonly serve: ServeEndpoint
  readonly params: ReadonlyMap<string, string>
  readonly path: string
}

async function serveEndpoint(
  parts: ApiParts,
  exchange: Exchange,
  { serve, params, path }: ServedEndpoint,
): Promise<void> {
  const { request, closed } = exchange
  const caller = await requireCaller(parts, exchange)
  const leave = await parts.turns.enter(caller.caller, closed)
  let answer: EndpointAnswer
  try {
    const call = toCall(parts, exchange, { owner: ownerOf(caller.caller), params })
    answer = await passLargeBody(parts, exchange, async () => await serve(call))
  } catch (error) {
    // A sender that is still sending reads the answer only when its bytes have gone.
    exchange.discardBody()
    throw error
  } finally {
    leave()
  }
  if ('status' in answer) return respond(exchange, answer)
  const framing = framingOf(parts, answer, path)
  const sink = exchange.openStream({ ...eventStreamHeaders, ...answer.headers })
  const stream = parts.streams.open(sink, framing)
  guardStream(parts, stream, { caller: caller.caller, request })
  await stream.pipe(answer.items, framing)
}

function toCall(
  { engine, options }: ApiParts,
  exchange: Exchange,
  { owner, params }: { owner: Owner; params: ReadonlyMap<string, string> },
): EndpointCall {
  const { request, closed } = exchange
  return {
    engine,
    owner,
    params,
    query: requestQuery(request),
    headers: request.headers,
    signal: closed,
    readBody({ maxBytes, acceptsText = false }) {
      const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
      const isText = (type === undefined || type === 'text/plain') && acceptsText && isVouchedFor(options.cors, request)
      if (type !== 'application/json' && !isText) throw errorOf('UNSUPPORTED_MEDIA_TYPE')
      requireLength(request, maxBytes)
      return bounded(withinStall(exchange.readBytes(), options.stalledReaderTimeoutMs), maxBytes)
    },
  }
}

async function* bounded(bytes: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array, void, void> {
  let passed = 0
  for await (const chunk of bytes) {
    passed += chunk.byteLength
    if (passed > maxBytes) throw tooLarge(maxBytes)
    yield chunk
  }
}

function respond(exchange: Exchange, { status, headers = {}, json }: EndpointResponse): void {
  exchange.respond(json === undefined ? { status, headers } : jsonResponse(status, json, headers))
}

function framingOf({ options, logger }: ApiParts, { lastWords }: EndpointStream, where: string): ItemFraming<string> {
  return {
    kind: 'endpoint',
    ping: ': ping\n', // a comment, and no blank line, which some readers take for the end of a message
    interrupted: undefined,
    opening: '',
    encode: (frames) => frames,
    ending: '',
    failure(cause) {
      const last = lastWordsOf(cause, { options, logger, where }, lastWords)
      return last.isFinal ? last : undefined
    },
  }
}
