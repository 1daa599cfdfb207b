/**
 * What Anthropic's documentation says of its models ("Models overview", "Troubleshooting thinking", "What's new in Claude
 * Sonnet 5.5"), as far as a request depends on it. A model of another name is taken for a small one that refuses nothing.
 */
import type { ThinkingConfigParam } from '@anthropic-ai/sdk/resources/messages'

const hasLargeWindow = /claude-(?:fable|mythos|(?:sonnet|opus|haiku)-5|(?:opus|sonnet)-4-[6-9])/
const thinksByDefault = /claude-(?:fable|mythos-5|(?:sonnet|opus)-5)/
const compacts = /claude-(?:fable-5|mythos|(?:sonnet|opus)-5|haiku-5-5|opus-4-[6-8]|sonnet-4-6)/
const refusesDisabled = /claude-(?:sonnet-5-5|fable|mythos)/
const hasNoOutputs = /claude-(?:3|(?:sonnet|opus)-4-(?:0|2025))/
const refusesBudget = /claude-(?:fable|mythos-5|(?:sonnet|opus|haiku)-5|opus-4-[78])/

/** Tokens that a request and its answer may have together. */
export function contextTokensOf(model: string): number {
  return hasLargeWindow.test(model) ? 1_000_000 : 200_000
}

/** Most tokens of one answer; undefined when it is not known. */
export function maxOutputTokensOf(model: string): number | undefined {
  if (hasLargeWindow.test(model)) return 128_000
  return /claude-(?:sonnet|opus|haiku)-4-5/.test(model) ? 64_000 : undefined
}

/**
 * The thinking to ask for where an agent says nothing. The models that think by default keep its text to themselves, and with
 * it what they say between two tools, so that a chat falls silent: the text is asked for.
 */
export function defaultThinking(model: string): ThinkingConfigParam | undefined {
  return thinksByDefault.test(model) ? { type: 'adaptive', display: 'summarized' } : undefined
}

/** Tells whether the API summarizes conversations for `model` ("Compaction on demand"). */
export function canCompact(model: string): boolean {
  return compacts.test(model)
}

/** Tells whether `model` is from before structured outputs ("Structured outputs": Claude 4.5 models and later). */
export function lacksOutputs(model: string): boolean {
  return hasNoOutputs.test(model)
}

/** Why `model` refuses this kind of thinking, as far as it is known. */
export function whyThinkingRefused(model: string, type: ThinkingConfigParam['type']): string | undefined {
  if (type === 'disabled' && refusesDisabled.test(model)) return 'cannot be disabled for this model; use between_tools'
  if (type === 'enabled' && refusesBudget.test(model)) return 'takes no budget with this model; use adaptive'
  return undefined
}
