/** Spans and metrics by OpenTelemetry's conventions for generative AI. Needs `@opentelemetry/api`, and records nothing without an SDK. */
export { openTelemetry, type OpenTelemetryOptions } from './open-telemetry.ts'
