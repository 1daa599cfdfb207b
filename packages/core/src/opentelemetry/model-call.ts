/** One model call as its events tell it. In: its events, in order. Out: the attributes of its span, and its metrics. */
import type { Attributes, Span } from '@opentelemetry/api'
import type { AgentEvent, ProviderUsage } from '../contract/event.ts'
import type { AgentPing } from '../ports/agent.ts'
import { tokensOf, usageAttributes } from './attributes.ts'
import type { AskedModel } from './attributes.ts'
import { recordError } from './errors.ts'
import type { CallError } from './errors.ts'
import type { Instruments } from './instruments.ts'

/** How a call ended: with `error`, or well without one. */
export interface CallEnd {
  readonly seconds: number
  readonly error?: CallError | undefined
}

export class ModelCall {
  readonly #asked: AskedModel
  #answeredBy: string | undefined
  #usage: ProviderUsage = {}
  #stopReason: string | null = null
  #firstChunkSeconds: number | undefined

  constructor(asked: AskedModel = {}) {
    this.#asked = asked
  }

  /** The model's name: as it was asked, or else as it answered. */
  get model(): string | undefined {
    return this.#asked.model ?? this.#answeredBy
  }

  /** @param seconds since the call began */
  add(event: AgentEvent | AgentPing, seconds: number): void {
    switch (event.type) {
      case 'message_start':
        this.#answeredBy = event.message.model
        this.#usage = { ...this.#usage, ...event.message.usage }
        break
      case 'message_delta':
        this.#stopReason = event.delta.stop_reason ?? this.#stopReason
        this.#usage = { ...this.#usage, ...event.usage }
        break
      case 'ping':
      case 'run_retrying':
      case 'tool_result':
      case 'data':
        return
      default:
    }
    this.#firstChunkSeconds ??= seconds
  }

  end(span: Span, instruments: Instruments, { seconds, error }: CallEnd): void {
    if (error !== undefined) recordError(span, error.type, error.kind)
    span.setAttributes(this.#responseAttributes())
    const attributes = this.#metricAttributes()
    instruments.modelCall.record(seconds, {
      ...attributes,
      ...(error === undefined ? {} : { 'error.type': error.type }),
    })
    if (this.#firstChunkSeconds !== undefined) instruments.firstChunk.record(this.#firstChunkSeconds, attributes)
    const { input, output } = tokensOf(this.#usage)
    if (input > 0) instruments.tokens.record(input, { ...attributes, 'gen_ai.token.type': 'input' })
    if (output > 0) instruments.tokens.record(output, { ...attributes, 'gen_ai.token.type': 'output' })
  }

  get stopReason(): string | null {
    return this.#stopReason
  }

  #metricAttributes(): Attributes {
    const { provider } = this.#asked
    return {
      'gen_ai.operation.name': 'chat',
      ...(provider === undefined ? {} : { 'gen_ai.provider.name': provider }),
      ...(this.model === undefined ? {} : { 'gen_ai.request.model': this.model }),
      ...(this.#answeredBy === undefined ? {} : { 'gen_ai.response.model': this.#answeredBy }),
    }
  }

  #responseAttributes(): Attributes {
    const first = this.#firstChunkSeconds
    return {
      ...(this.#answeredBy === undefined ? {} : { 'gen_ai.response.model': this.#answeredBy }),
      ...(this.#stopReason === null ? {} : { 'gen_ai.response.finish_reasons': [this.#stopReason] }),
      ...(first === undefined ? {} : { 'gen_ai.response.time_to_first_chunk': first }),
      ...(this.#answeredBy === undefined ? {} : usageAttributes(this.#usage)),
    }
  }
}
