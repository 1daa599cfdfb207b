/**
 * The API over an engine: tRPC, the plain endpoints, health and metrics, as one Node handler and one fetch handler.
 * In: requests. Out: the engine's answers, translated. The API decides only who calls (`authenticate`) and which path serves what.
 */
import type { ServerResponse } from 'node:http'
import { VerbatimError } from '@verbatim/core'
import type { Engine, Logger } from '@verbatim/core/server'
import { parseApiOptions } from './api-options.ts'
import type { ApiOptions, ApiOptionsInput } from './api-options.ts'
import { callerKey, toPrincipal } from './context.ts'
import type { ApiContext, Authenticate, ApiRequest } from './context.ts'
import { createApiRouter } from './create-router.ts'
import type { AppRouter } from './create-router.ts'
import { CallTurns } from './http/call-turns.ts'
import { createDispatcher } from './http/dispatch-request.ts'
import type { Endpoint } from './http/endpoint.ts'
import type { AnswerLimits, ApiParts } from './http/exchange.ts'
import { FetchExchange } from './http/fetch-exchange.ts'
import { BytePace } from './limits/byte-pace.ts'
import { KeyedLimit } from './limits/keyed-limit.ts'
import { LargeBodies } from './limits/large-bodies.ts'
import { takesRequest } from './limits/pipelined-requests.ts'
import { Transfers } from './limits/transfers.ts'
import { OpenAnswers } from './limits/open-answers.ts'
import { Metrics } from './http/metrics.ts'
import { NodeExchange } from './http/node-exchange.ts'
import type { NodeRequest } from './http/node-exchange.ts'
import { Reauthenticator } from './sse/reauthenticator.ts'
import { StreamRegistry } from './sse/stream-registry.ts'

/** What {@link createApi} takes. */
export interface ApiInput extends ApiOptionsInput {
  readonly engine: Engine
  readonly authenticate: Authenticate
  readonly logger?: Logger | undefined
  /** Further endpoints, such as those of another protocol: under the same sign-in, limits and errors as all others. @default none */
  readonly endpoints?: readonly Endpoint[] | undefined
}

/** The API of an engine; docs/protocol.md describes what it speaks. */
export interface Api {
  readonly router: AppRouter<ApiContext>
  /**
   * For `node:http` and compatible servers (http2, Express): `guardServer(createServer(api.nodeHandler))`. Answers every
   * request, with 404 for unknown paths.
   */
  readonly nodeHandler: (req: NodeRequest, res: ServerResponse) => void
  /** For fetch servers. */
  readonly fetchHandler: (request: Request) => Promise<Response>
  /** Ends every stream so that its client reconnects elsewhere; resolves when the last one is closed. The engine stays open. */
  close(): Promise<void>
}

/** A read waits no longer for its turn: while the database is away, those before it take long too. */
const maxReadWaitMs = 2_000

/** A page of 1 MiB takes the event loop for about a third of the time that this pace leaves until the next one. */
const readPaceFactor = 4
const readBurstMs = 60

/**
 * Makes the API of `engine`.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 * @example
 * const api = createApi({ engine, authenticate: ({ headers }) => verify(headers.get('authorization')) })
 * guardServer(createServer(api.nodeHandler)).listen(8787)
 */
export function createApi({ engine, authenticate, logger, endpoints = [], ...rest }: ApiInput): Api {
  const options = parseApiOptions(rest)
  const metrics: Metrics = new Metrics(engine, (kind) => streams.count(kind))
  const streams = new StreamRegistry(options, metrics)
  const line = {
    maxWaiting: Number.POSITIVE_INFINITY, // as many as the calls that may wait
    refuse: () =>
      new VerbatimError('UNAVAILABLE', 'The reads before this one take long; try again', {
        data: { retryAfterMs: 1_000 },
      }),
  }
  const reads = new KeyedLimit({ ...line, maxAtOnce: options.maxReadsPerPrincipal, maxWaitMs: maxReadWaitMs })
  const batchLine = new KeyedLimit({ ...line, maxAtOnce: options.maxBatchConcurrency })
  const router = createApiRouter({ engine, logger, principalOf: ({ principal }) => principal })
  const callers = new WeakMap<ApiRequest, string>()
  const identify: ApiParts['identify'] = async (request) => {
    const principal = toPrincipal(await authenticate(request))
    if (principal !== null) callers.set(request, callerKey(principal))
    const address = options.auditAddresses ? request.remoteAddress : undefined
    if (principal === null) engine.audit.record({ action: 'sign_in_failed', address })
    return principal
  }
  const reauthenticator = new Reauthenticator({ ...options, logger })
  const turns = new CallTurns(options)
  const answers = answerLimits(options, callers)
  const largeBodies = new LargeBodies(options)
  const guards = { turns, transfers: new Transfers(options), largeBodies, answers, reads, batchLine }
  const parts: ApiParts = { engine, logger, options, router, streams, identify, reauthenticator, endpoints, ...guards }
  const exposedHeaders = endpoints.flatMap((endpoint) => endpoint.exposedHeaders ?? [])
  const exchangeOptions = { cors: options.cors && { ...options.cors, exposedHeaders }, answers }
  const dispatchRequest = createDispatcher(parts, metrics)

  return {
    router,
    nodeHandler(req, res) {
      if (!takesRequest(req, res)) return
      const exchange = new NodeExchange(req, res, exchangeOptions)
      const route = dispatchRequest(exchange)
      const { method } = exchange.request
      res.once('close', () => metrics.countRequest({ route, method, status: res.headersSent ? res.statusCode : 499 }))
    },
    async fetchHandler(request) {
      const exchange = new FetchExchange(request, exchangeOptions)
      const route = dispatchRequest(exchange)
      const response = await exchange.response
      metrics.countRequest({ route, method: request.method, status: response.status })
      return response
    },
    close: async () => await streams.close(),
  }
}

function answerLimits(options: ApiOptions, callers: WeakMap<ApiRequest, string>): AnswerLimits {
  const { stalledReaderTimeoutMs } = options
  return {
    open: new OpenAnswers(options),
    pace: new BytePace(options),
    readPace: new BytePace({ maxBytesPerSecond: readPaceFactor * options.maxBytesPerSecond, burstMs: readBurstMs }),
    stalledReaderTimeoutMs,
    callerOf: (request) => callers.get(request) ?? '',
  }
}
