import type { EventBatch } from './event.ts'
import type { RunId } from './identifiers.ts'
import type { Message } from './message.ts'
import type { CancelRunResult, Run } from './run.ts'

/** The state of a stream. */
export type FollowState = 'connecting' | 'streaming' | 'reconnecting'

/** What a source needs to follow a run. */
export interface SourceFollowOptions {
  /** Seq to go on after; 0 for the whole run. */
  readonly after: number
  readonly signal: AbortSignal
  readonly onState?: (state: FollowState) => void
  /** The start of the run while it is under way: until it settles, the source does not give up because the run is absent. */
  readonly starting?: () => Promise<unknown> | undefined
}

/** What a handle reads from: the engine in process, or a server over HTTP. Each call may throw; the handle does not repeat it. */
export interface RunSource {
  /** Every later batch once and in order; returns after the terminal event, or when nothing comes after `after`. */
  follow(runId: RunId, options: SourceFollowOptions): AsyncIterable<EventBatch>
  getRun(runId: RunId, options?: { signal: AbortSignal }): Promise<Run>
  getMessage(sessionId: string, messageId: string): Promise<Message>
  cancelRun(runId: RunId): Promise<CancelRunResult>
  /** Aborts when the owner of the source closes, and with it every handle. */
  readonly closed: AbortSignal
  /** What a handle holds for its readers, in characters of events. */
  readonly maxBufferedChars: number
}

/** Makes a run; safe to be called again with the same id. */
export type RunStart = (runId: RunId, options: { signal: AbortSignal }) => Promise<Run>

/** Stops what makes the answer: the run, or the one that continues it, which the handle may not know yet. */
export async function cancelAnswer(source: RunSource, runId: RunId): Promise<CancelRunResult> {
  const result = await source.cancelRun(runId)
  if (!result.hadEnded || result.status !== 'interrupted') return result
  const { continuedBy } = await source.getRun(runId)
  return continuedBy === null ? result : await cancelAnswer(source, continuedBy)
}
