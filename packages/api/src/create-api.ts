/**
 * The API over a engine: tRPC, the plain endpoints, health and metrics, as one Node handler and one fetch handler.
 * In: requests. Out: answers of the engine, translated. Nothing is decided here but who calls (`authenticate`) and where things are.
 */
import type { ServerResponse } from 'node:http'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { nodeHTTPRequestHandler } from '@trpc/server/adapters/node-http'
import type { Logger, Engine } from '@verbatim/core/server'
import { parseApiOptions } from './api-options.ts'
import type { ApiOptionsInput } from './api-options.ts'
import { toPrincipal } from './context.ts'
import type { ApiContext, Authenticate } from './context.ts'
import { createAppRouter } from './create-router.ts'
import type { AppRouter } from './create-router.ts'
import type { ApiParts } from './http/api-parts.ts'
import { createEndpoints } from './http/endpoints.ts'
import { FetchExchange } from './http/fetch-exchange.ts'
import { Metrics } from './http/metrics.ts'
import { NodeExchange } from './http/node-exchange.ts'
import type { NodeRequest } from './http/node-exchange.ts'
import { createSwitchboard } from './http/switchboard.ts'
import { adapterOptions } from './http/trpc-calls.ts'
import { OpenStreams } from './sse/open-streams.ts'

/** What {@link createApi} takes. */
export interface ApiInput extends ApiOptionsInput {
  readonly engine: Engine
  readonly authenticate: Authenticate
  readonly logger?: Logger | undefined
}

/** The API of a engine; see docs/protocol.md for what it speaks. */
export interface Api {
  readonly router: AppRouter<ApiContext>
  /** For `node:http` and what is compatible with it (http2, Express): `createServer(api.nodeHandler)`. Answers every request, with 404 for unknown paths. */
  readonly nodeHandler: (req: NodeRequest, res: ServerResponse) => void
  /** For fetch servers. */
  readonly fetchHandler: (request: Request) => Promise<Response>
  /** Ends every stream so that its client goes elsewhere, and resolves when the last is done. The engine is left open. */
  close(): Promise<void>
}

/**
 * Makes the API of `engine`.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 * @example
 * const api = createApi({ engine, authenticate: ({ headers }) => verify(headers.get('authorization')) })
 * createServer(api.nodeHandler).listen(8787)
 */
export function createApi({ engine, authenticate, logger, ...rest }: ApiInput): Api {
  const options = parseApiOptions(rest)
  const metrics: Metrics = new Metrics(engine, (kind) => streams.count(kind))
  const streams = new OpenStreams(options, metrics)
  const router = createAppRouter<ApiContext>({ engine, logger, principalOf: ({ principal }) => principal })
  const identify: ApiParts['identify'] = async (request) => toPrincipal(await authenticate(request))
  const parts: ApiParts = { engine, logger, options, router, streams, identify }
  const switchboard = createSwitchboard(parts, createEndpoints(parts, metrics))

  return {
    router,
    nodeHandler(req, res) {
      const exchange = new NodeExchange(req, res, options.cors)
      const route = switchboard.serve(exchange, async (path, body) => {
        const shared = adapterOptions(parts, exchange)
        if (body !== undefined) Object.assign(req, { body }) // where tRPC looks for a body that was read
        await nodeHTTPRequestHandler({ ...shared, req, res, path: path.slice(options.trpcPath.length + 1) })
      })
      const { method } = exchange.request
      res.once('close', () => metrics.countRequest({ route, method, status: res.headersSent ? res.statusCode : 499 }))
    },
    async fetchHandler(request) {
      const exchange = new FetchExchange(request, options.cors)
      const endpoint = options.basePath + options.trpcPath
      const route = switchboard.serve(exchange, async (_path, body) => {
        const req = body === undefined ? request : withBody(request, body)
        exchange.pass(await fetchRequestHandler({ ...adapterOptions(parts, exchange), req, endpoint }))
      })
      const response = await exchange.response
      metrics.countRequest({ route, method: request.method, status: response.status })
      return response
    },
    close: async () => await streams.close(),
  }
}

/** The request again, with the body that was read from it. */
function withBody({ url, method, headers, signal }: Request, body: string): Request {
  return new Request(url, { method, headers, signal, body })
}
