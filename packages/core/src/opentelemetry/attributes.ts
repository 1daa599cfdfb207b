/** The attributes of spans by the conventions, and what the spans of one run share. */
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api'
import type { AgentEvent, ProviderUsage } from '../contract/event.ts'
import type { ModelCallFacts, ToolCallFacts } from '../ports/telemetry.ts'
import type { Instruments } from './instruments.ts'

export interface CallsOfRun {
  readonly tracer: Tracer
  readonly instruments: Instruments
  readonly recordContent: boolean
  /** The context of the run. */
  readonly runContext: Context
  /** On every span of the run. */
  readonly shared: Attributes
  readonly agentName: string
}

export interface AskedModel {
  readonly provider?: string | undefined
  readonly model?: string | undefined
}

export function modelAttributes({
  provider,
  model,
  maxTokens,
}: AskedModel & Pick<Partial<ModelCallFacts>, 'maxTokens'>): Attributes {
  return {
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.stream': true,
    ...(provider === undefined ? {} : { 'gen_ai.provider.name': provider }),
    ...(model === undefined ? {} : { 'gen_ai.request.model': model }),
    ...(maxTokens === undefined ? {} : { 'gen_ai.request.max_tokens': maxTokens }),
  }
}

export function toolAttributes({
  name,
  id,
  description,
}: Pick<ToolCallFacts, 'name' | 'id' | 'description'>): Attributes {
  return {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': name,
    'gen_ai.tool.call.id': id,
    'gen_ai.tool.type': 'function',
    ...(description === undefined ? {} : { 'gen_ai.tool.description': description }),
  }
}

export function toolMetricAttributes(name: string, agentName: string): Attributes {
  return { 'gen_ai.tool.name': name, 'gen_ai.tool.type': 'function', 'gen_ai.agent.name': agentName }
}

export function addRetry(span: Span, { attempt, delayMs, error }: Extract<AgentEvent, { type: 'run_retrying' }>): void {
  const { kind } = error.data
  span.addEvent('verbatim.retry', {
    'error.type': error.code,
    ...(kind === undefined ? {} : { 'verbatim.error.kind': kind }),
    'verbatim.retry.attempt': attempt,
    'verbatim.retry.delay': delayMs / 1_000,
  })
}

/** The conventions count what was read from and written to a cache as input; our providers do not. */
export function tokensOf(usage: ProviderUsage): { readonly input: number; readonly output: number } {
  const { input_tokens = 0, cache_read_input_tokens = 0, cache_creation_input_tokens = 0, output_tokens = 0 } = usage
  return { input: input_tokens + cache_read_input_tokens + cache_creation_input_tokens, output: output_tokens }
}

export function usageAttributes(usage: ProviderUsage): Attributes {
  const { input, output } = tokensOf(usage)
  return {
    'gen_ai.usage.input_tokens': input,
    'gen_ai.usage.output_tokens': output,
    'gen_ai.usage.cache_read.input_tokens': usage.cache_read_input_tokens ?? 0,
    'gen_ai.usage.cache_creation.input_tokens': usage.cache_creation_input_tokens ?? 0,
  }
}
