import type { Turn } from '@verbatim/core/agent-kit'
import type { ModelCallFacts } from '@verbatim/core/server'
import type { RunOptions } from './agent-options.ts'

interface Caller {
  readonly options: RunOptions
  readonly rules: { readonly provider: string; readonly model: string }
}

/** What telemetry records of a call before it is made. */
export function factsOf({ options, rules }: Caller, turns: readonly Turn[], signal: AbortSignal): ModelCallFacts {
  return {
    provider: nameOf(rules.provider),
    model: rules.model,
    maxTokens: options.maxOutputTokens,
    signal,
    content: () => ({ system: options.system, messages: turns }),
  }
}

/** The names of OpenTelemetry's conventions, where they are not those of the AI SDK. */
const conventions: Readonly<Record<string, string>> = {
  'amazon-bedrock': 'aws.bedrock',
  azure: 'azure.ai.openai',
  google: 'gcp.gemini',
  mistral: 'mistral_ai',
  vertex: 'gcp.vertex_ai',
  xai: 'x_ai',
}

/** A provider of the AI SDK also names the API that it calls: `openai.responses`. */
function nameOf(provider: string): string {
  const [name = provider] = provider.split('.')
  return conventions[name] ?? name
}
