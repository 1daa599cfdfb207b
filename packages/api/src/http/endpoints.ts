/** Path and method to endpoint. Paths are looked up in a Map and compared as they came, so `__proto__` is as unknown as any other. */
import { VerbatimError } from '@verbatim/core'
import type { ApiParts } from './api-parts.ts'
import { startChatSse, resumeChatSse } from './chat-sse.ts'
import { chatStream } from './chat-stream.ts'
import type { Exchange } from './exchange.ts'
import { followPath, followRun } from './follow-run.ts'
import { createReadiness, liveAnswer } from './health.ts'
import { notFound } from './http-error.ts'
import type { Metrics } from './metrics.ts'

type Method = 'GET' | 'HEAD' | 'POST'

export interface Endpoint {
  /** Its name in metrics. */
  readonly route: string
  readonly methods: Readonly<Partial<Record<Method, (exchange: Exchange) => Promise<void>>>>
}

const metricsScope = 'verbatim:metrics'

/** Finds the endpoint of a path (behind `basePath`); undefined when there is none. tRPC's own are not among them, but the follow. */
export function createEndpoints(parts: ApiParts, metrics: Metrics): (path: string) => Endpoint | undefined {
  const readiness = createReadiness(parts.engine)
  const live = async (exchange: Exchange) => exchange.answer(liveAnswer())
  const ready = async (exchange: Exchange) => exchange.answer(await readiness())
  const fixed = new Map<string, Endpoint['methods']>([
    ['/chat/stream', { POST: async (exchange) => await chatStream(parts, exchange) }],
    ['/chat/sse', { POST: async (exchange) => await startChatSse(parts, exchange) }],
    ['/health/live', { GET: live, HEAD: live }],
    ['/health/ready', { GET: ready, HEAD: ready }],
    ['/metrics', { GET: async (exchange) => await answerMetrics(parts, exchange, metrics) }],
    [`${parts.options.trpcPath}/${followPath}`, { GET: async (exchange) => await followRun(parts, exchange) }],
  ])
  return (path) => {
    const methods = fixed.get(path)
    if (methods !== undefined) return { route: path, methods }
    const runId = /^\/chat\/sse\/([^/]+)$/.exec(path)?.[1]
    if (runId === undefined) return undefined
    return {
      route: '/chat/sse/:runId',
      methods: { GET: async (exchange) => await resumeChatSse(parts, exchange, runId) },
    }
  }
}

async function answerMetrics({ options, identify }: ApiParts, exchange: Exchange, metrics: Metrics): Promise<void> {
  if (options.metrics === 'off') throw notFound()
  if (options.metrics === 'scoped') {
    const principal = await identify(exchange.request)
    if (principal === null) throw new VerbatimError('UNAUTHENTICATED')
    if (!principal.scopes.includes(metricsScope)) {
      throw new VerbatimError('FORBIDDEN', `The principal lacks the scope ${metricsScope}`)
    }
  }
  exchange.answer({ status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.text() })
}
