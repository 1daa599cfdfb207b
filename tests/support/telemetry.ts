/** A real SDK of OpenTelemetry whose exporters keep what they get, registered as a program registers its own. */
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'

/** A span as a test compares it. */
export interface SeenSpan {
  readonly name: string
  readonly traceId: string
  readonly id: string
  readonly parentId: string | undefined
  readonly kind: string
  readonly isError: boolean
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: readonly string[]
  readonly ms: number
}

export interface SeenMetric {
  readonly unit: string
  readonly points: readonly { readonly attributes: Readonly<Record<string, unknown>>; readonly count: number }[]
}

export function registerSdk() {
  const exporter = new InMemorySpanExporter()
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.DELTA)
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))
  metrics.setGlobalMeterProvider(meterProvider)
  return {
    /** The spans that have ended since the last {@link clear}, in the order of their ends. */
    spans: (traceId?: string): SeenSpan[] =>
      exporter
        .getFinishedSpans()
        .map(seen)
        .filter((span) => traceId === undefined || span.traceId === traceId),
    async metrics(): Promise<Map<string, SeenMetric>> {
      await reader.forceFlush()
      const found = metricExporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((one) => one.metrics))
      const seenMetrics = new Map<string, SeenMetric>()
      for (const { descriptor, dataPoints, dataPointType } of found) {
        const points = dataPoints.map(({ attributes, value }) => ({
          attributes,
          count: dataPointType === DataPointType.HISTOGRAM ? (value as { count: number }).count : (value as number),
        }))
        const before = seenMetrics.get(descriptor.name)?.points ?? []
        seenMetrics.set(descriptor.name, { unit: descriptor.unit, points: [...before, ...points] })
      }
      return seenMetrics
    },
    /** All that was recorded, as text. */
    async text(): Promise<string> {
      await reader.forceFlush()
      const spans = exporter.getFinishedSpans().map(({ name, attributes, events, links, status, resource }) => {
        return { name, attributes, events, links, status, resource: resource.attributes }
      })
      return JSON.stringify([spans, metricExporter.getMetrics()])
    },
    async clear(): Promise<void> {
      await reader.forceFlush()
      metricExporter.reset()
      exporter.reset()
    },
    /** Runs `call` in a span of a caller of its own; answers the span's ids too. */
    async asCaller<TResult>(call: () => Promise<TResult>) {
      return await trace.getTracer('caller').startActiveSpan('caller', async (span) => {
        const { traceId, spanId } = span.spanContext()
        const result = await call()
        span.end()
        return { traceId, spanId, result }
      })
    },
  }
}

function seen(span: ReadableSpan): SeenSpan {
  const { traceId, spanId } = span.spanContext()
  return {
    name: span.name,
    traceId,
    id: spanId,
    parentId: span.parentSpanContext?.spanId,
    kind: SpanKind[span.kind],
    isError: span.status.code === SpanStatusCode.ERROR,
    attributes: span.attributes,
    links: span.links.map(({ context: linked }) => linked.spanId),
    ms: span.duration[0] * 1_000 + span.duration[1] / 1e6,
  }
}

/** The spans as a tree of names, children in the order of their starts. */
export function treeOf(spans: readonly SeenSpan[], parentId: string | undefined): object {
  return Object.fromEntries(
    spans
      .filter((span) => span.parentId === parentId)
      .map((span, at) => [`${at} ${span.name}`, treeOf(spans, span.id)]),
  )
}
