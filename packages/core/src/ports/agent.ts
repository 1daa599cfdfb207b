import type { AgentEvent } from '../contract/event.ts'
import type { AgentId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message } from '../contract/message.ts'

/** What an agent gets: who asks and the conversation so far, oldest first, ending with the user message to answer. */
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

/** A named configuration (model, system prompt, tools) that answers in a session. */
export interface Agent {
  readonly id: AgentId
  readonly timeouts?: Partial<RunTimeouts>
  /** How many of the newest messages the agent is given, the new prompt included. @default 40 */
  readonly maxHistoryMessages?: number
  /**
   * Answers `request` as a stream of events; returns when the answer is whole.
   * Throws `VerbatimError` (`PROVIDER_ERROR`, `PROVIDER_REFUSED`) when the provider fails for good. Stops at once when `signal` aborts.
   */
  stream(request: AgentRequest, signal: AbortSignal): AsyncIterable<AgentEvent>
}
