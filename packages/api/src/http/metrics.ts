/** What an operator sees, in Prometheus' text format. An own registry: two APIs in one process do not collide. */
import type { Engine } from '@verbatim/core/server'
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'
import type { StreamEnd, StreamKind } from '../sse/open-stream.ts'
import type { StreamCounters } from '../sse/open-streams.ts'

const kinds: readonly StreamKind[] = ['trpc', 'chat_sse', 'chat_stream']
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'OPTIONS'])

export interface CountedRequest {
  /** The endpoint's own name, never the caller's path: a label must not grow with what strangers send. */
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
      help: 'Frames handed to streams, without heartbeats',
      labelNames: ['kind'],
      registers,
    })
    this.#ends = new Counter({
      name: 'verbatim_streams_ended_total',
      help: 'Streams that ended, by what ended them',
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
    registerEngine(this.#registry, engine)
    registerProcess(this.#registry)
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

interface Reading {
  readonly name: string
  readonly help: string
  readonly read: () => number
}

function gauge(registry: Registry, { name, help, read }: Reading): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}

/** A counter kept elsewhere, shown as it stands. */
function counter(registry: Registry, { name, help, read }: Reading): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}

function registerEngine(registry: Registry, engine: Engine): void {
  const stats = () => engine.stats()
  counter(registry, {
    name: 'verbatim_runs_started_total',
    help: 'Runs started by this process',
    read: () => stats().runsStarted,
  })
  gauge(registry, {
    name: 'verbatim_runs_active',
    help: 'Runs this process is writing',
    read: () => stats().runsActive,
  })
  gauge(registry, { name: 'verbatim_followers', help: 'Follows that are going on', read: () => stats().followers })
  counter(registry, {
    name: 'verbatim_events_committed_total',
    help: 'Events made durable',
    read: () => stats().eventsCommitted,
  })
  counter(registry, { name: 'verbatim_commits_total', help: 'Group commits', read: () => stats().commits })
  gauge(registry, {
    name: 'verbatim_pending_bytes',
    help: 'Bytes of events not yet durable, at most',
    read: () => stats().pendingBytes,
  })
  gauge(registry, {
    name: 'verbatim_draining',
    help: '1 once the process drains',
    read: () => Number(engine.draining.aborted),
  })
  new Counter({
    name: 'verbatim_runs_ended_total',
    help: 'Runs ended by this process, by status',
    labelNames: ['status'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [status, count] of Object.entries(stats().runsEnded)) this.inc({ status }, count)
    },
  })
}

/** Under the names that dashboards know. prom-client's own collector is left out: its observers outlive the API. */
function registerProcess(registry: Registry): void {
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
  const memory = () => process.memoryUsage()
  let before = performance.eventLoopUtilization()
  counter(registry, { name: 'process_cpu_seconds_total', help: 'CPU time spent, in seconds', read: cpuSeconds })
  gauge(registry, {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory, in bytes',
    read: () => memory().rss,
  })
  gauge(registry, { name: 'nodejs_heap_size_used_bytes', help: 'Heap in use, in bytes', read: () => memory().heapUsed })
  gauge(registry, {
    name: 'process_uptime_seconds',
    help: 'Time since the process began, in seconds',
    read: () => process.uptime(),
  })
  gauge(registry, {
    name: 'nodejs_eventloop_utilization',
    help: 'Busy share of the event loop since the last reading, 0 to 1',
    read: () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return utilization
    },
  })
}
