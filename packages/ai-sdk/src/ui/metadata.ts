/** What a UI message says of the run that made it, under one key, so that an application's own metadata has room beside it. */
import type { JsonValue, Message, RunMetrics, WireError } from '@verbatim/core'

/** The `verbatim` of {@link VerbatimMetadata}. */
export interface AnswerMetadata {
  /** The run that made the answer. Of an answer that was continued after a crash: the first one. */
  readonly runId?: string | null | undefined
  readonly agentId?: string | null | undefined
  /** How the answer ended; absent while it goes on. */
  readonly status?: Message['status'] | undefined
  readonly metrics?: RunMetrics | null | undefined
  /** The answer of an agent with an output schema, as JSON that the server has checked. */
  readonly output?: JsonValue | undefined
  /** Why the run failed; while the answer streams only. */
  readonly error?: WireError | undefined
}

/** The `metadata` of every assistant message: `UIMessage<VerbatimMetadata>`. */
export interface VerbatimMetadata {
  readonly verbatim: AnswerMetadata
}
