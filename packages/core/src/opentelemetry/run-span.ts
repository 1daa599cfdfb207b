/** The span of one run in this process, with what its events say of it. */
import type { Attributes, Span } from '@opentelemetry/api'
import { terminalOf } from '../contract/event.ts'
import type { EventBatch, TerminalEvent } from '../contract/event.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { TerminalStatus } from '../contract/run.ts'
import type { RunTrace } from '../ports/telemetry.ts'
import { AgentCalls } from './agent-calls.ts'
import { usageAttributes } from './attributes.ts'
import type { CallsOfRun } from './attributes.ts'
import { recordError } from './errors.ts'
import type { CallError } from './errors.ts'
import { EventCalls } from './event-calls.ts'

export class RunSpan implements RunTrace {
  readonly agent: AgentCalls
  readonly #run: CallsOfRun
  readonly #calls: EventCalls
  #end: TerminalEvent | undefined

  constructor(run: CallsOfRun) {
    this.#run = run
    this.agent = new AgentCalls(run)
    this.#calls = new EventCalls(run, this.agent)
  }

  committed(batch: EventBatch): void {
    for (const event of batch.events) this.#calls.add(event)
    this.#end = terminalOf(batch)
  }

  /** @param status how driving the run has ended; `lost` when it goes on in another process */
  end(span: Span, status: TerminalStatus | 'lost', seconds: number): void {
    const { instruments, agentName } = this.#run
    const error = errorOf(this.#end, status)
    this.#calls.close(error)
    const { provider, model } = this.agent.asked ?? {}
    span.setAttributes({
      'verbatim.run.status': status,
      ...(provider === undefined ? {} : { 'gen_ai.provider.name': provider }),
      ...(model === undefined ? {} : { 'gen_ai.request.model': model }),
      ...(this.#end === undefined ? {} : metricsAttributes(this.#end.metrics)),
    })
    if (error !== undefined) recordError(span, error.type, error.kind)
    if (status === 'lost') return
    instruments.run.record(seconds, {
      'gen_ai.agent.name': agentName,
      ...(model === undefined ? {} : { 'gen_ai.request.model': model }),
      ...(error === undefined ? {} : { 'error.type': error.type }),
    })
  }
}

function errorOf(end: TerminalEvent | undefined, status: TerminalStatus | 'lost'): CallError | undefined {
  if (end !== undefined && 'error' in end) return { type: end.error.code, kind: end.error.data.kind }
  return status === 'cancelled' || status === 'lost' ? { type: 'cancelled' } : undefined
}

function metricsAttributes(metrics: RunMetrics): Attributes {
  const { model, stopReason, timeToFirstTokenMs, inputTokens, outputTokens } = metrics
  return {
    ...(model === null ? {} : { 'gen_ai.response.model': model }),
    ...(stopReason === null ? {} : { 'gen_ai.response.finish_reasons': [stopReason] }),
    ...(timeToFirstTokenMs === null ? {} : { 'gen_ai.response.time_to_first_chunk': timeToFirstTokenMs / 1_000 }),
    ...usageAttributes({
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      cache_read_input_tokens: metrics.cacheReadInputTokens,
      cache_creation_input_tokens: metrics.cacheWriteInputTokens,
    }),
  }
}
