import { z } from 'zod'
import { PromptInput } from './content-input.ts'
import { WireError } from './errors.ts'
import { AgentId, MessageId, RunId, SessionId } from './identifiers.ts'
import { RunMetrics } from './metrics.ts'
import { RunInput } from './run-input.ts'

/** `queued`: durable, waiting for the runs before it. `running`: being answered. The others are terminal. */
export const RunStatus = z.enum(['queued', 'running', 'completed', 'refused', 'failed', 'cancelled', 'interrupted'])
export type RunStatus = z.infer<typeof RunStatus>

/** A status that a run never leaves. */
export type TerminalStatus = Exclude<RunStatus, 'queued' | 'running'>

/** Tells whether a run with `status` has ended. */
export function isTerminalStatus(status: RunStatus): status is TerminalStatus {
  return status !== 'queued' && status !== 'running'
}

/** The making of one answer. */
export const Run = z.strictObject({
  id: RunId,
  sessionId: SessionId,
  agentId: AgentId,
  status: RunStatus,
  /** The user message that asks; stored when the run starts, so a run that was cancelled in the queue has none. */
  userMessageId: MessageId,
  /** The assistant message that this run makes; stored when the run ends. */
  messageId: MessageId,
  /** Seq of the terminal event; null while the run is queued or running. */
  lastSeq: z.int().positive().nullable(),
  error: WireError.nullable(),
  metrics: RunMetrics.nullable(),
  /**
   * The run that this one continues, and whose answer goes on here: it was interrupted, or reached the greatest length of an answer
   * (`runs.continue`). The server wrote this run's user message.
   */
  continuationOf: RunId.nullable(),
  /** The run that continues this interrupted one. */
  continuedBy: RunId.nullable(),
  /** The run whose prompt this one answers again, see `runs.retry`. */
  retryOf: RunId.nullable(),
  createdAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
})
export type Run = z.infer<typeof Run>

/**
 * What a start does in a busy session. `reject`: it fails with `SESSION_BUSY`. `queue`: the prompt is durable and waits until all
 * runs before it have ended. `replace`: the active run and the queued ones are cancelled, and this prompt comes next.
 */
export const WhenBusy = z.enum(['reject', 'queue', 'replace'])
export type WhenBusy = z.infer<typeof WhenBusy>

/** The input of `runs.start`. The same `runId` with the same input is the same run; with another input it fails with `RUN_ID_REUSED`. */
export const StartRunInput = z.strictObject({
  sessionId: SessionId,
  runId: RunId,
  /** Text, or blocks of text, images and documents. Text, and one block of that text, are the same input. */
  message: PromptInput,
  /** The agent that answers; the server's first agent when left out. */
  agentId: AgentId.optional(),
  /** What the agent takes beside the prompt, by its own schema. It is stored with the prompt, so it must hold no secret. */
  input: RunInput.optional(),
  /** The run whose prompt this one takes the place of: that turn and all after it are replaced. They stay among the messages; agents do not receive them. */
  editOf: RunId.optional(),
  /** Does not count as input: a repeated start finds its run, whatever this says. @default "reject" */
  whenBusy: WhenBusy.optional(),
})
export type StartRunInput = z.infer<typeof StartRunInput>

/** The input of `runs.retry`. The same `newRunId` for the same `runId` is the same run. */
export const RetryRunInput = z.strictObject({
  /** A run that failed, was cancelled or interrupted, and whose answer is the newest message of its session. */
  runId: RunId,
  /** The id of the new run. */
  newRunId: RunId,
})
export type RetryRunInput = z.infer<typeof RetryRunInput>

/** The input of `runs.continue`. The same `newRunId` for the same `runId` is the same run. */
export const ContinueRunInput = z.strictObject({
  /** A run whose answer is the newest message of its session and reached its greatest length (stop reason `max_tokens`). */
  runId: RunId,
  /** The id of the new run. */
  newRunId: RunId,
})
export type ContinueRunInput = z.infer<typeof ContinueRunInput>

/** The result of `runs.cancel`. */
export const CancelRunResult = z.strictObject({
  runId: RunId,
  status: RunStatus,
  /** Seq of the terminal event; null when the run did not stop within the wait. */
  finalSeq: z.int().positive().nullable(),
  /** True when the run had ended before this call, which then changed nothing. */
  hadEnded: z.boolean(),
})
export type CancelRunResult = z.infer<typeof CancelRunResult>
