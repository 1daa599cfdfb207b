/** The metrics in Prometheus' text format. Each API has a registry of its own: two APIs in one process do not collide. */
import { errorOf } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'
import { missingScope } from '../operator.ts'
import type { StreamCounters } from '../sse/stream-registry.ts'
import type { StreamEnd, StreamKind } from '../sse/stream-writer.ts'
import type { ApiParts, Exchange } from './exchange.ts'

const metricsScope = 'verbatim:metrics'
const kinds: readonly StreamKind[] = ['trpc', 'chat_sse', 'chat_stream', 'export', 'endpoint']
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'OPTIONS'])

export interface CountedRequest {
  /** The endpoint's own name, never the caller's path: the number of labels must not grow with what callers send. */
  readonly route: string
  readonly method: string
  readonly status: number
}

export class Metrics implements StreamCounters {
  readonly #registry = new Registry()
  readonly #requests: Counter<'route' | 'method' | 'status'>
  readonly #frames: Counter<'kind'>
  readonly #ends: Counter<'kind' | 'end'>

  constructor(engine: Engine, countStreams: (kind: StreamKind) => number) {
    const registers = [this.#registry]
    this.#requests = new Counter({
      name: 'verbatim_http_requests_total',
      help: 'HTTP requests answered, by endpoint, method and status',
      labelNames: ['route', 'method', 'status'],
      registers,
    })
    this.#frames = new Counter({
      name: 'verbatim_frames_total',
      help: 'Frames written to streams, without heartbeats',
      labelNames: ['kind'],
      registers,
    })
    this.#ends = new Counter({
      name: 'verbatim_streams_ended_total',
      help: 'Ended streams, by cause',
      labelNames: ['kind', 'end'],
      registers,
    })
    new Gauge({
      name: 'verbatim_streams',
      help: 'Open streams',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const kind of kinds) this.set({ kind }, countStreams(kind))
      },
    })
    registerReadings(this.#registry, [...engineReadings(engine), ...processReadings()])
    registerOutcomes(this.#registry, engine)
  }

  readonly onFrame = (kind: StreamKind): void => this.#frames.inc({ kind })
  readonly onEnd = (kind: StreamKind, end: StreamEnd): void => this.#ends.inc({ kind, end })

  countRequest({ route, method, status }: CountedRequest): void {
    this.#requests.inc({ route, method: knownMethods.has(method) ? method : 'OTHER', status })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async text(): Promise<string> {
    return await this.#registry.metrics()
  }
}

/** Answers GET /metrics. @throws VerbatimError for a caller without the scope, `NOT_FOUND` when metrics are off */
export async function serveMetrics(parts: ApiParts, exchange: Exchange, metrics: Metrics): Promise<void> {
  const { options, identify } = parts
  if (options.metrics === 'off') throw errorOf('NOT_FOUND')
  if (options.metrics === 'scoped') {
    const principal = await identify(exchange.request)
    if (principal === null) throw errorOf('UNAUTHENTICATED')
    if (!principal.scopes.includes(metricsScope)) throw missingScope(parts.engine, principal, metricsScope)
  }
  exchange.respond({ status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.text() })
}

/** A name with its help text and what reads its value. A name in `_total` is a counter, any other a gauge. */
type Reading = readonly [name: string, help: string, read: () => number]

/** Registers values that are kept elsewhere: each is read when the metrics are. */
function registerReadings(registry: Registry, readings: readonly Reading[]): void {
  for (const [name, help, read] of readings) {
    const shared = { name, help, registers: [registry] }
    if (!name.endsWith('_total')) {
      new Gauge({
        ...shared,
        collect() {
          this.set(read())
        },
      })
      continue
    }
    new Counter({
      ...shared,
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  }
}

/** What became of runs and of starts, each by its own label. */
function registerOutcomes(registry: Registry, engine: Engine): void {
  const registers = [registry]
  new Counter({
    name: 'verbatim_runs_ended_total',
    help: 'Runs ended by this process, by status',
    labelNames: ['status'],
    registers,
    collect() {
      this.reset()
      for (const [status, count] of Object.entries(engine.stats().runsEnded)) this.inc({ status }, count)
    },
  })
  new Counter({
    name: 'verbatim_starts_refused_total',
    help: 'Starts and retries that a limit, a budget, a busy session or a full process has refused, by the code of the error',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset()
      for (const [code, count] of Object.entries(engine.stats().startsRefused)) this.inc({ code }, count)
    },
  })
}

function engineReadings(engine: Engine): readonly Reading[] {
  return [
    ['verbatim_runs_started_total', 'Runs started by this process', () => engine.stats().runsStarted],
    ['verbatim_runs_active', 'Runs this process is writing', () => engine.stats().runsActive],
    ['verbatim_followers', 'Open follows', () => engine.stats().followers],
    ['verbatim_events_committed_total', 'Events made durable', () => engine.stats().eventsCommitted],
    ['verbatim_commits_total', 'Group commits', () => engine.stats().commits],
    ['verbatim_pending_bytes', 'Bytes of events not yet durable, at most', () => engine.stats().pendingBytes],
    ['verbatim_draining', '1 once the process drains', () => Number(engine.draining.aborted)],
  ]
}

/** Under the names that dashboards know. prom-client's own collector is left out: its observers outlive the API. */
function processReadings(): readonly Reading[] {
  let before = performance.eventLoopUtilization()
  const busyShare = () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    return utilization
  }
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
  return [
    ['process_cpu_seconds_total', 'CPU time spent, in seconds', cpuSeconds],
    ['process_resident_memory_bytes', 'Resident memory, in bytes', () => process.memoryUsage().rss],
    ['nodejs_heap_size_used_bytes', 'Heap in use, in bytes', () => process.memoryUsage().heapUsed],
    ['process_uptime_seconds', 'Time since the process began, in seconds', () => process.uptime()],
    ['nodejs_eventloop_utilization', 'Busy share of the event loop since the last reading, 0 to 1', busyShare],
  ]
}
