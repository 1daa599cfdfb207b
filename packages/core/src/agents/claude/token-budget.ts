/**
 * How much of a conversation fits one request. Tokens are estimated from bytes, at a rate that the provider's own counts teach:
 * counting them exactly would be one more call before each.
 */
import type { ProviderUsage } from '../../contract/event.ts'
import type { TooLongError } from './map-provider-error.ts'

/** The API takes 32 MB ("Errors", request size limits); headers and quoting need a little. */
const maxRequestBytes = 30_000_000
/** English text has about 0.25; the newer models' tokens are shorter, and code and other languages have more. */
const firstTokensPerByte = 0.4
/** Below this the provider's own few words count too much to learn from. */
const minBytesToLearn = 16_384
/** However small a provider says it is: an agent that believed it would never ask again. */
const minWindowTokens = 8_192
const minLimitBytes = 32_768
const maxTokensPerByte = 2
/** A provider that counts nothing teaches nothing. */
const minTokensPerByte = 0.1
/** A part of the window is left free: the estimate is one. */
const usablePart = 0.95
/** After a refusal more is left free: the turns that stay may have more tokens a byte than those that leave. */
const sparePart = 0.75

/** One for each agent: what it talks about decides how many tokens a byte has. */
export interface TokenBudget {
  /** The bytes that a request may have. */
  maxBytes(): number
  /** Learns from an answer how many tokens a request of `bytes` had. */
  learn(bytes: number, usage: ProviderUsage): void
  /** Learns from a refusal that a request of `bytes` was too long. */
  learnTooLong(bytes: number, error: TooLongError): void
}

export function createTokenBudget({
  contextTokens,
  maxTokens,
}: {
  contextTokens: number
  maxTokens: number
}): TokenBudget {
  let tokensPerByte = firstTokensPerByte
  let windowTokens = contextTokens
  let limitBytes = maxRequestBytes
  const usableTokens = () => Math.max(windowTokens - maxTokens, windowTokens / 2) * usablePart
  return {
    maxBytes: () => Math.min(limitBytes, Math.floor(usableTokens() / tokensPerByte)),
    learn(bytes, usage) {
      const tokens = inputTokensOf(usage)
      limitBytes = Math.min(maxRequestBytes, limitBytes * 1.25)
      if (bytes < minBytesToLearn || tokens === 0) return
      const rate = Math.min(maxTokensPerByte, Math.max(minTokensPerByte, tokens / bytes))
      // Up at once and down slowly: a request that is too long costs more than one that could have been longer.
      tokensPerByte = rate > tokensPerByte ? rate : tokensPerByte * 0.9 + rate * 0.1
    },
    learnTooLong(bytes, { tokens, maxTokens: limit }) {
      if (limit !== undefined) windowTokens = Math.min(windowTokens, Math.max(minWindowTokens, limit))
      if (tokens !== undefined) tokensPerByte = Math.min(maxTokensPerByte, Math.max(tokensPerByte, tokens / bytes))
      // Without the provider's counts all that is known is that half of it may fit.
      const fitting = tokens === undefined ? bytes / 2 : ((bytes * usableTokens()) / tokens) * sparePart
      limitBytes = Math.max(minLimitBytes, Math.floor(fitting))
    },
  }
}

function inputTokensOf(usage: ProviderUsage): number {
  const { input_tokens = 0, cache_read_input_tokens = 0, cache_creation_input_tokens = 0 } = usage
  return input_tokens + cache_read_input_tokens + cache_creation_input_tokens
}
