/** What an agent reports of itself, as spans below that of its run. */
import { context, SpanKind, trace } from '@opentelemetry/api'
import type { Context, Span } from '@opentelemetry/api'
import type { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { systemClock } from '../engine/system-clock.ts'
import type { AgentPing } from '../ports/agent.ts'
import type { AgentTrace, ModelCallFacts, ToolCallFacts } from '../ports/telemetry.ts'
import { addRetry, modelAttributes, toolAttributes, toolMetricAttributes } from './attributes.ts'
import type { CallsOfRun } from './attributes.ts'
import { answeredContent, askedContent, toolContent } from './content.ts'
import { endOf, kindOf, recordError } from './errors.ts'
import type { CallError } from './errors.ts'
import { ModelCall } from './model-call.ts'

export class AgentCalls implements AgentTrace {
  readonly #run: CallsOfRun
  /** The model that the agent has asked last; undefined while it reports none. */
  asked: ModelCallFacts | undefined
  hasReportedTools = false

  constructor(run: CallsOfRun) {
    this.#run = run
  }

  async *modelCall<TEvent extends AgentEvent | AgentPing, TEnd>(
    facts: ModelCallFacts,
    stream: () => AsyncGenerator<TEvent, TEnd, void>,
  ): AsyncGenerator<TEvent, TEnd, void> {
    this.asked = facts
    const call = new ModelCallSpan(this.#run, facts)
    const events = stream()
    let error: CallError | undefined = { type: 'cancelled' }
    try {
      while (true) {
        const result = await call.within(() => events.next())
        if (result.done === true) {
          error = undefined
          return result.value
        }
        call.add(result.value)
        yield result.value
      }
    } catch (caught) {
      error = { type: endOf(caught, facts.signal), kind: kindOf(caught) }
      throw caught
    } finally {
      // Of a generator that is given up nothing reads the value. One that has ended ignores this.
      await call.within(() => events.return(undefined as TEnd))
      call.end(error)
    }
  }

  async toolCall<TOutput>(facts: ToolCallFacts, run: () => Promise<TOutput>): Promise<TOutput> {
    this.hasReportedTools = true
    const { tracer, instruments, runContext, shared, agentName, recordContent } = this.#run
    const attributes = { ...shared, ...toolAttributes(facts), 'gen_ai.agent.name': agentName }
    const span = tracer.startSpan(`execute_tool ${facts.name}`, { attributes }, runContext)
    if (recordContent) span.setAttributes(toolContent('arguments', facts.input))
    const startedMs = systemClock.monotonicMs()
    let type: string | undefined
    try {
      const output = await context.with(trace.setSpan(runContext, span), run)
      if (recordContent) span.setAttributes(toolContent('result', output))
      return output
    } catch (error) {
      type = endOf(error, facts.signal)
      recordError(span, type, kindOf(error))
      throw error
    } finally {
      span.end()
      instruments.toolCall.record((systemClock.monotonicMs() - startedMs) / 1_000, {
        ...toolMetricAttributes(facts.name, agentName),
        ...(type === undefined ? {} : { 'error.type': type }),
      })
    }
  }
}

/** The span of a model call that an agent reports. */
class ModelCallSpan {
  readonly #run: CallsOfRun
  readonly #span: Span
  readonly #context: Context
  readonly #call: ModelCall
  readonly #startedMs = systemClock.monotonicMs()
  /** For its content, where that is recorded. */
  readonly #events: AgentEvent[] = []

  constructor(run: CallsOfRun, facts: ModelCallFacts) {
    const { tracer, runContext, shared, recordContent } = run
    const attributes = { ...shared, ...modelAttributes(facts), ...(recordContent ? askedContent(facts) : {}) }
    this.#run = run
    this.#call = new ModelCall(facts)
    this.#span = tracer.startSpan(`chat ${facts.model}`, { kind: SpanKind.CLIENT, attributes }, runContext)
    this.#context = trace.setSpan(runContext, this.#span)
  }

  within<TResult>(work: () => TResult): TResult {
    return context.with(this.#context, work)
  }

  add(event: AgentEvent | AgentPing): void {
    this.#call.add(event, this.#seconds())
    if (event.type === 'run_retrying') addRetry(this.#span, event)
    if (this.#run.recordContent && event.type !== 'ping') this.#events.push(event)
  }

  end(error: CallError | undefined): void {
    if (this.#events.length > 0) {
      const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events: this.#events })
      this.#span.setAttributes(answeredContent(content, this.#call.stopReason))
    }
    this.#call.end(this.#span, this.#run.instruments, { seconds: this.#seconds(), error })
    this.#span.end()
  }

  #seconds(): number {
    return (systemClock.monotonicMs() - this.#startedMs) / 1_000
  }
}
