import type { ModelCallFacts } from '../../ports/telemetry.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

/** What telemetry records of a call before it is made. */
export function factsOf({ body }: ClaudeRequest, signal: AbortSignal): ModelCallFacts {
  const { model, max_tokens: maxTokens, system, messages } = body
  return {
    provider: 'anthropic',
    model,
    maxTokens,
    signal,
    content: () => ({
      system: typeof system === 'object' ? system.map(({ text }) => text).join('\n') : system,
      messages,
    }),
  }
}
