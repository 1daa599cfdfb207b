/**
 * What an agent over the SDK of a model is made of, apart from the SDK: the history that fits, its files, the retries before the first
 * word, the tools that run once their calls are stored. `claude()` is built of these parts, and so are Verbatim's packages for other
 * SDKs. An agent of an application needs none of them: see `agent()` of `@verbatim/core/agent`.
 */
export { raceSignal } from '../async/race-signal.ts'
export { isBlank } from '../contract/blank.ts'
export { isJson } from '../contract/json-value.ts'
export { isWholeInput, readToolInput, toolInputOf } from '../contract/tool-input.ts'
export { systemClock } from '../engine/system-clock.ts'
export { callWithRetries, toCallEnd, type CallEnd, type ToolCall } from './claude/call-with-retries.ts'
export { toExactInput } from './claude/exact-input.ts'
export { fingerprintOf } from './claude/fingerprint.ts'
export { createHistory, type History } from './claude/history.ts'
export {
  malformed,
  mapRequestError,
  providerError,
  TooLongError,
  type ProviderErrorKind,
} from './claude/map-provider-error.ts'
export {
  noteOf,
  openMedia,
  weightOf,
  type KnownFiles,
  type MediaBlock,
  type MediaLoader,
  type MediaSources,
} from './claude/media.ts'
export { refusalOfFiles } from './claude/refusal-of-files.ts'
export { randomFraction } from './claude/retry-delay.ts'
export { runTools, type ToolResultEvent } from './claude/run-tools.ts'
export { createTokenBudget, type TokenBudget } from './claude/token-budget.ts'
export type { Summarize, SystemPrompt } from './claude/claude-options.ts'
export type { Conversation, Turn } from './claude/claude-message.ts'
