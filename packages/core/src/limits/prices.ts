import type { TokenPrices } from '../ports/agent.ts'

/** The tokens of one model call, by what they cost. */
export interface CallTokens {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadInputTokens: number
  readonly cacheWriteInputTokens: number
}

/** Prices by the beginning of a model's name; `*` fits every model. */
export type PriceTable = Readonly<Record<string, TokenPrices>>

/**
 * Anthropic's list prices in US dollars per million tokens: "Pricing", platform.claude.com, read in November 2026. Cache writes are those
 * of five minutes, which `claude()` asks for. Haiku 5.5 is cheaper for prompts up to 100,000 tokens; a budget counts the dearer price.
 */
export const claudePrices: PriceTable = {
  'claude-fable-5-1': { input: 10, output: 50, cacheRead: 0.25, cacheWrite: 12.5 },
  'claude-mythos-5-1': { input: 10, output: 50, cacheRead: 0.25, cacheWrite: 12.5 },
  'claude-fable-5': { input: 10, output: 50, cacheRead: 1, cacheWrite: 12.5 },
  'claude-mythos-5': { input: 10, output: 50, cacheRead: 1, cacheWrite: 12.5 },
  'claude-opus-5-5': { input: 4, output: 20, cacheRead: 0.2, cacheWrite: 5 },
  'claude-opus-5': { input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 },
  'claude-opus-4-8': { input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 },
  'claude-opus-4-7': { input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 },
  'claude-opus-4-6': { input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 },
  'claude-opus-4-5': { input: 5, output: 25, cacheRead: 0.5, cacheWrite: 6.25 },
  'claude-opus-4': { input: 15, output: 75, cacheRead: 1.5, cacheWrite: 18.75 },
  'claude-sonnet-5-5': { input: 2, output: 10, cacheRead: 0.1, cacheWrite: 2.5 },
  'claude-sonnet-5': { input: 2, output: 10, cacheRead: 0.2, cacheWrite: 2.5 },
  'claude-sonnet-4': { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 },
  'claude-haiku-5-5': { input: 0.5, output: 2.5, cacheRead: 0.05, cacheWrite: 0.625 },
  'claude-haiku-4-5': { input: 1, output: 5, cacheRead: 0.1, cacheWrite: 1.25 },
}

const tokensPerPrice = 1_000_000

/** What a call costs, in US dollars. */
export function costOf(tokens: CallTokens, { input, output, cacheRead, cacheWrite }: TokenPrices): number {
  const { inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens } = tokens
  const cost =
    inputTokens * input + outputTokens * output + cacheReadInputTokens * cacheRead + cacheWriteInputTokens * cacheWrite
  return cost / tokensPerPrice
}

/** The prices of a model as the provider names it. For one without a price they are the table's dearest, so that a budget holds. */
export function pricesOf(table: PriceTable, model: string): TokenPrices {
  const fitting = Object.keys(table).filter((name) => name !== '*' && model.startsWith(name))
  const longest = fitting.reduce((best, name) => (name.length > best.length ? name : best), '')
  return table[longest] ?? table['*'] ?? dearestOf(Object.values(table))
}

function dearestOf(prices: readonly TokenPrices[]): TokenPrices {
  const most = (kind: keyof TokenPrices) => Math.max(...prices.map((price) => price[kind]))
  return { input: most('input'), output: most('output'), cacheRead: most('cacheRead'), cacheWrite: most('cacheWrite') }
}
