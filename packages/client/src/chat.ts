import { emptyAnswer, fromCursor, RunId, VerbatimError } from '@verbatim/core'
import type { Answer, WhenBusy } from '@verbatim/core'
import { newRunId as makeRunId } from './ids.ts'
import { createAnswerHandle } from './follow-on.ts'
import { createRunHandle } from './open-run.ts'
import type { RunContext, RunOrigin } from './open-run.ts'
import type { RunHandle } from './run.ts'

export interface SendOptions {
  /** Whether the handle goes on with the run that continues an interrupted one. @default true */
  readonly followContinuations?: boolean | undefined
  /** The run's id, a UUID: the idempotency key of this prompt. @default a random one */
  readonly runId?: string | undefined
  /** The agent that answers. @default the server's first */
  readonly agentId?: string | undefined
  /**
   * When the session is busy: `reject` the prompt (`SESSION_BUSY`), let it wait in the `queue`, or `replace` all before it,
   * which is cancelled. @default "reject"
   */
  readonly whenBusy?: WhenBusy | undefined
  /** Gives the start up and stops following; it never stops the run. */
  readonly signal?: AbortSignal | undefined
}

/** One session, to talk in. */
export interface Chat {
  readonly sessionId: string
  /**
   * Sends a prompt and returns the handle of its answer at once. The start is repeated with backoff while the server cannot
   * be reached, which is safe: the run's id makes it the same run. A refused start (`SESSION_BUSY`, `RUN_ID_REUSED`,
   * `UNAUTHENTICATED`, …) is what the handle's iterators throw and its promises reject with.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when `runId` is not a UUID
   */
  send(prompt: string, options?: SendOptions): RunHandle
}

export function createChat(context: RunContext, sessionId: string): Chat {
  return {
    sessionId,
    send(prompt, { runId, agentId, whenBusy, signal, followContinuations } = {}) {
      const id = runId === undefined ? makeRunId() : toRunId(runId)
      const agent = agentId === undefined ? {} : { agentId }
      const busy = whenBusy === undefined ? {} : { whenBusy }
      const input = { sessionId, runId: id, message: prompt, ...agent, ...busy }
      const start: RunStart = async (init) => await context.calls.startRun(input, init)
      return openHandle(
        context,
        { type: 'start', runId: id, start, isNewId: runId === undefined, signal },
        followContinuations,
      )
    },
  }
}

type RunStart = Extract<RunOrigin, { type: 'start' }>['start']

function openHandle(context: RunContext, origin: RunOrigin, followContinuations = true): RunHandle {
  return followContinuations ? createAnswerHandle(context, origin) : createRunHandle(context, origin)
}

export interface RetryRunOptions {
  /** The new run's id, a UUID: the idempotency key of this retry. @default a random one */
  readonly newRunId?: string | undefined
  /** Gives the start up and stops following; it never stops the run. */
  readonly signal?: AbortSignal | undefined
}

/** Starts another run for the prompt of one that went wrong. @throws VerbatimError `INVALID_INPUT` at once */
export function retryExisting(context: RunContext, runId: string, options: RetryRunOptions = {}): RunHandle {
  const { newRunId, signal } = options
  const id = newRunId === undefined ? makeRunId() : toRunId(newRunId)
  const input = { runId: toRunId(runId), newRunId: id }
  const start: RunStart = async (init) => await context.calls.retryRun(input, init)
  return openHandle(context, { type: 'start', runId: id, start, isNewId: newRunId === undefined, signal })
}

export interface FollowOptions {
  /** A cursor to go on after. @default the run's beginning */
  readonly after?: string | undefined
  /** The answer as you have it: goes on after its last event, and keeps `content` whole. Takes precedence over `after`. */
  readonly answer?: Answer | undefined
  /** Whether the handle goes on with the run that continues an interrupted one. @default true */
  readonly followContinuations?: boolean | undefined
  /** Stops following; it never stops the run. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Joins a run that somebody started, whether it goes on or has ended.
 *
 * @throws VerbatimError `INVALID_INPUT` or `INVALID_CURSOR` at once
 */
export function followExisting(context: RunContext, runId: string, options: FollowOptions = {}): RunHandle {
  const id = toRunId(runId)
  const after = options.after === undefined ? 0 : fromCursor(options.after, id).seq
  const answer = options.answer ?? { ...emptyAnswer, lastSeq: after }
  const isWhole = options.answer !== undefined || after === 0
  const origin = { type: 'follow', runId: id, answer, isWhole, signal: options.signal } as const
  return openHandle(context, origin, options.followContinuations)
}

function toRunId(text: string): RunId {
  const parsed = RunId.safeParse(text)
  if (parsed.success) return parsed.data
  throw new VerbatimError('INVALID_INPUT', 'A run id is a UUID', { data: { field: 'runId' } })
}
