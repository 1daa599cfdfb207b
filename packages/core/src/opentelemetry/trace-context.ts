/** Traces across processes and time: as text beside a run, and back. Version 00 of W3C's trace context, without its `tracestate`. */
import { context, isSpanContextValid, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import type { Context, SpanContext, TextMapGetter } from '@opentelemetry/api'
import type { TraceCarrier } from '../ports/telemetry.ts'

const pattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

/** Undefined when no span goes on. */
export function currentTraceparent(): string | undefined {
  const active = trace.getSpanContext(context.active())
  if (active === undefined || !isSpanContextValid(active)) return undefined
  const flags = active.traceFlags.toString(16).padStart(2, '0')
  const text = `00-${active.traceId}-${active.spanId}-${flags}`
  return pattern.test(text) ? text : undefined
}

/** A context in which nothing goes on but the trace of `traceparent`; what is malformed counts as absent. */
export function contextOf(traceparent: string | undefined): Context {
  const [, traceId = '', spanId = '', flags = '0'] = pattern.exec(traceparent ?? '') ?? []
  const parent: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
  return isSpanContextValid(parent) ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT
}

const headers: TextMapGetter<TraceCarrier> = {
  get: (carrier, name) => carrier.get(name) ?? undefined,
  keys: (carrier) => [...carrier.keys()],
}

/** See `Telemetry.continueTrace`. A server's own instrumentation comes first: its span is the caller's child already. */
export function continueTrace<TResult>(carrier: TraceCarrier, work: () => TResult): TResult {
  const active = context.active()
  if (trace.getSpanContext(active) !== undefined) return work()
  const extracted = propagation.extract(active, carrier, headers)
  return extracted === active ? work() : context.with(extracted, work)
}
