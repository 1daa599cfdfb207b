import type { AgentEvent } from '../contract/event.ts'
import type { AgentId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message } from '../contract/message.ts'

/** What an agent gets: the run, its session and the conversation so far, oldest first, ending with the user message to answer. */
export interface AgentRequest {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly messages: readonly Message[]
}

/** How long a run waits for its agent. Each falls back to the server's own setting. */
export interface RunTimeouts {
  /** From a model call's start to its first content, in milliseconds. @default 60_000 */
  readonly firstTokenMs: number
  /** Between two events of a model call, in milliseconds. @default 120_000 */
  readonly idleMs: number
  /** For the whole run, in milliseconds. @default 600_000 */
  readonly totalMs: number
}

/** What becomes of an answer whose process was lost: it stays as it is, or a linked run goes on from it. */
export type CrashPolicy = 'interrupt' | 'continue'

/** What the linked runs behind one answer may use together. Past any of these the answer stays interrupted. */
export interface ContinuationBudget {
  /** Linked runs behind the first. @default 3 */
  readonly maxContinuations: number
  /** Output tokens of the whole chain, above which nothing more is started. @default 200_000 */
  readonly maxOutputTokens: number
  /** What the whole chain may have cost before another run is started. @default no bound, because prices are not known */
  readonly maxCost?: { readonly usd: number; readonly prices: TokenPrices } | undefined
}

/** In US dollars for a million tokens. */
export interface TokenPrices {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

/** A named configuration (model, system prompt, tools) that answers in a session. */
export interface Agent {
  readonly id: AgentId
  readonly timeouts?: Partial<RunTimeouts>
  /** How many of the newest messages the agent is given, the new prompt included. @default 40 */
  readonly maxHistoryMessages?: number
  /** @default "interrupt" */
  readonly onCrash?: CrashPolicy
  /** For `onCrash: "continue"`; what is left out has its default. */
  readonly continuation?: { readonly [TName in keyof ContinuationBudget]?: ContinuationBudget[TName] | undefined }
  /**
   * Answers `request` as a stream of events; returns when the answer is whole. An agent that runs tools does so behind the
   * `message_stop` of the call that asked for them: it is pulled on only when that is stored, so no tool runs unrecorded.
   * Throws `VerbatimError` (`PROVIDER_ERROR`, `PROVIDER_REFUSED`) when the provider fails for good. Stops at once when `signal` aborts.
   */
  stream(request: AgentRequest, signal: AbortSignal): AsyncIterable<AgentEvent>
}
