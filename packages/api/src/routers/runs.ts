import { tracked } from '@trpc/server'
import type { TrackedEnvelope } from '@trpc/server'
import {
  CancelRunResult,
  childController,
  lastSeqOf,
  PageInput,
  pageOf,
  RetryRunInput,
  Run,
  RunId,
  SessionId,
  StartRunInput,
  toCursor,
  VerbatimError,
} from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import { z } from 'zod'
import type { AuthedContext, CredentialsEnd } from '../context.ts'
import type { Procedures } from '../procedures.ts'
import { reportedErrorOf, toSubscriptionError } from '../to-wire-error.ts'
import { t } from '../trpc.ts'

const RunInput = z.strictObject({ runId: RunId })
const ListRunsInput = PageInput.extend({ sessionId: SessionId })

/** tRPC writes a reconnect's header to `lastEventId`; it is checked as a cursor. */
const FollowRunInput = z.strictObject({ runId: RunId, lastEventId: z.string().nullish() })
type FollowRunInput = z.infer<typeof FollowRunInput>

/** Batches with their cursors. Events are validated when they are stored, so this checks the stream only. */
const EventStream = z.custom<AsyncIterable<TrackedEnvelope<EventBatch>, void, void>>(
  (value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value,
)

export function createRunsRouter({ authedProcedure }: Procedures) {
  return t.router({
    start: authedProcedure
      .input(StartRunInput)
      .output(Run)
      .mutation(async ({ ctx, input }) => await ctx.engine.runs.start(ctx.owner, input)),
    /** Returns only after the terminal event; every other end means "reconnect with the last cursor". */
    follow: authedProcedure
      .input(FollowRunInput)
      .output(EventStream)
      .subscription(({ ctx, input, signal }) => trackedBatches(ctx, input, signal)),
    get: authedProcedure
      .input(RunInput)
      .output(Run)
      .query(async ({ ctx, input }) => await ctx.engine.runs.get(ctx.owner, input.runId)),
    list: authedProcedure
      .input(ListRunsInput)
      .output(pageOf(Run))
      .query(async ({ ctx, input: { sessionId, ...page } }) => await ctx.engine.runs.list(ctx.owner, sessionId, page)),
    cancel: authedProcedure
      .input(RunInput)
      .output(CancelRunResult)
      .mutation(async ({ ctx, input }) => await ctx.engine.runs.cancel(ctx.owner, input.runId)),
    retry: authedProcedure
      .input(RetryRunInput)
      .output(Run)
      .mutation(async ({ ctx, input }) => await ctx.engine.runs.retry(ctx.owner, input)),
  })
}

/** For callers without a signal (`createCaller` without options): they stop by leaving the loop. */
const noSignal = new AbortController().signal

async function* trackedBatches(
  { engine, logger, owner, watchCredentials }: AuthedContext,
  { runId, lastEventId }: FollowRunInput,
  callSignal: AbortSignal = noSignal,
): AsyncGenerator<TrackedEnvelope<EventBatch>, void, void> {
  const { controller, release } = childController(callSignal)
  const { signal } = controller
  const unwatch = watchCredentials?.((end) => controller.abort(credentialsError(end)))
  try {
    for await (const batch of engine.runs.follow(owner, runId, { after: lastEventId ?? undefined, signal })) {
      yield tracked(toCursor(runId, lastSeqOf(batch)), batch)
    }
  } catch (error) {
    if (callSignal.aborted) throw error // no reader is left
    throw toSubscriptionError(reportedErrorOf(error, { logger, where: 'runs.follow' }))
  } finally {
    unwatch?.()
    release()
  }
}

/** After expired credentials a client comes back with fresh ones, as after a fault that passes. */
function credentialsError(end: CredentialsEnd): VerbatimError {
  if (end === 'refused') return new VerbatimError('UNAUTHENTICATED')
  return new VerbatimError('UNAVAILABLE', 'The credentials of the stream have ended; come back with fresh ones')
}
