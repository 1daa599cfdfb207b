/**
 * Starts the SDK with exporters that print, so no collector is needed. Yours is `NodeSDK` of `@opentelemetry/sdk-node` with an exporter for your
 * collector, in a file that `node --import ./instrumentation.ts` loads before your program.
 */
import { context, metrics, propagation, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { ConsoleMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { ConsoleSpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

const exporter = new ConsoleSpanExporter()
const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
const reader = new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() })
const meterProvider = new MeterProvider({ readers: [reader] })

// Which span goes on, also after an `await`; and the headers that carry a trace.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())
trace.setGlobalTracerProvider(tracerProvider)
metrics.setGlobalMeterProvider(meterProvider)

/** Exports what is left. */
export async function stopSdk(): Promise<void> {
  await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()])
}
