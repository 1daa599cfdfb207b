import { tracked } from '@trpc/server'
import type { TrackedEnvelope } from '@trpc/server'
import {
  CancelRunResult,
  ContinueRunInput,
  lastSeqOf,
  PageInput,
  pageOf,
  RetryRunInput,
  Run,
  RunId,
  SessionId,
  StartRunInput,
  toCursor,
} from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import { z } from 'zod'
import type { AuthedContext } from '../context.ts'
import type { Procedures } from '../procedures.ts'
import { subscribe } from '../follow/subscribe.ts'
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
      .subscription(({ ctx, input, signal: callSignal }) =>
        subscribe(ctx, { path: 'runs.follow', callSignal }, (signal) => trackedBatches(ctx, input, signal)),
      ),
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
    continue: authedProcedure
      .input(ContinueRunInput)
      .output(Run)
      .mutation(async ({ ctx, input }) => await ctx.engine.runs.continue(ctx.owner, input)),
  })
}

async function* trackedBatches(
  { engine, owner }: AuthedContext,
  { runId, lastEventId }: FollowRunInput,
  signal: AbortSignal,
): AsyncGenerator<TrackedEnvelope<EventBatch>, void, void> {
  for await (const batch of engine.runs.follow(owner, runId, { after: lastEventId ?? undefined, signal })) {
    yield tracked(toCursor(runId, lastSeqOf(batch)), batch)
  }
}
