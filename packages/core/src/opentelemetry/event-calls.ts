/**
 * The model calls and tools of an agent that reports none, as its events tell them. A model call begins when the one before it or the
 * last tool has ended. Spans are made when they end, so what the agent does meanwhile belongs to its run.
 */
import { SpanKind } from '@opentelemetry/api'
import { blockOf } from '../contract/event.ts'
import type { RunEvent } from '../contract/event.ts'
import { systemClock } from '../engine/system-clock.ts'
import type { AgentCalls } from './agent-calls.ts'
import { addRetry, modelAttributes, toolAttributes, toolMetricAttributes } from './attributes.ts'
import type { CallsOfRun } from './attributes.ts'
import { recordError } from './errors.ts'
import type { CallError } from './errors.ts'
import { ModelCall } from './model-call.ts'

/** What a model may call a tool; another name is the model's own text. */
const toolNames = /^[\w.-]{1,64}$/

export class EventCalls {
  readonly #run: CallsOfRun
  readonly #reported: AgentCalls
  readonly #toolNames = new Map<string, string>()
  #call: ModelCall | undefined
  #retries: Extract<RunEvent, { type: 'run_retrying' }>[] = []
  /** When the next model call begins, by the machine's clock. */
  #sinceMs = nowMs()

  /** @param reported what the agent reports itself is not told a second time */
  constructor(run: CallsOfRun, reported: AgentCalls) {
    this.#run = run
    this.#reported = reported
  }

  add(event: RunEvent): void {
    if (this.#reported.asked === undefined) this.#addToCall(event)
    if (!this.#reported.hasReportedTools) this.#addToTools(event)
    if (event.type === 'tool_result') this.#sinceMs = nowMs()
  }

  /** A model call that goes on ends with the run. */
  close(error: CallError | undefined): void {
    this.#endCall(error)
  }

  #addToCall(event: RunEvent): void {
    switch (event.type) {
      case 'message_start':
        this.#call = new ModelCall()
        this.#call.add(event, this.#seconds())
        return
      case 'run_retrying':
        this.#retries.push(event)
        return
      case 'content_block':
      case 'content_block_start':
      case 'content_block_delta':
      case 'message_delta':
        this.#call?.add(event, this.#seconds())
        return
      case 'message_stop':
        this.#endCall(undefined)
        return
      default:
    }
  }

  #addToTools(event: RunEvent): void {
    const block = blockOf(event)
    if (block?.type === 'tool_use') this.#toolNames.set(block.id, block.name)
    if (event.type !== 'tool_result') return
    const { tool_use_id: id, durationMs, is_error: isError } = event
    const known = this.#toolNames.get(id) ?? ''
    this.#toolNames.delete(id)
    const name = toolNames.test(known) ? known : '_OTHER'
    const { tracer, instruments, runContext, shared, agentName } = this.#run
    const endTime = nowMs()
    const attributes = { ...shared, ...toolAttributes({ name, id }), 'gen_ai.agent.name': agentName }
    const span = tracer.startSpan(`execute_tool ${name}`, { startTime: endTime - durationMs, attributes }, runContext)
    if (isError) recordError(span, 'tool_error')
    span.end(endTime)
    instruments.toolCall.record(durationMs / 1_000, {
      ...toolMetricAttributes(name, agentName),
      ...(isError ? { 'error.type': 'tool_error' } : {}),
    })
  }

  #endCall(error: CallError | undefined): void {
    const call = this.#call
    this.#call = undefined
    if (call === undefined) return
    const { tracer, instruments, runContext, shared } = this.#run
    const attributes = { ...shared, ...modelAttributes({ model: call.model }) }
    const startTime = this.#sinceMs
    const span = tracer.startSpan(`chat ${call.model}`, { kind: SpanKind.CLIENT, startTime, attributes }, runContext)
    for (const retry of this.#retries) addRetry(span, retry)
    this.#retries = []
    call.end(span, instruments, { seconds: this.#seconds(), error })
    this.#sinceMs = nowMs()
    span.end(this.#sinceMs)
  }

  #seconds(): number {
    return Math.max(0, nowMs() - this.#sinceMs) / 1_000
  }
}

/** The clock of the machine: spans that are made when they end name their times by it. */
function nowMs(): number {
  return systemClock.now().getTime()
}
