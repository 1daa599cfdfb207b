import {
  DeleteSessionResult,
  FollowSessionsInput,
  PageInput,
  pageOf,
  Session,
  SessionId,
  SessionTitle,
} from '@verbatim/core'
import type { FollowedUpdate } from '@verbatim/core'
import { z } from 'zod'
import { followAll } from '../follow/follow-all.ts'
import type { Procedures } from '../procedures.ts'
import { subscribe } from '../follow/subscribe.ts'
import { t } from '../trpc.ts'

const CreateSessionInput = z.strictObject({ sessionId: SessionId.optional(), title: SessionTitle.nullish() })
const SessionInput = z.strictObject({ sessionId: SessionId })
const UpdateSessionInput = z.strictObject({ sessionId: SessionId, title: SessionTitle.nullable() })

/** Updates come from the engine, so this checks the stream only. */
const UpdateStream = z.custom<AsyncIterable<FollowedUpdate, void, void>>(
  (value) => typeof value === 'object' && value !== null && Symbol.asyncIterator in value,
)

export function createSessionsRouter({ authedProcedure }: Procedures) {
  return t.router({
    create: authedProcedure
      .input(CreateSessionInput)
      .output(Session)
      .mutation(async ({ ctx, input }) => await ctx.engine.sessions.create(ctx.owner, input)),
    get: authedProcedure
      .input(SessionInput)
      .output(Session)
      .query(async ({ ctx, input }) => await ctx.engine.sessions.get(ctx.owner, input.sessionId)),
    list: authedProcedure
      .input(PageInput)
      .output(pageOf(Session))
      .query(async ({ ctx, input }) => await ctx.engine.sessions.list(ctx.owner, input)),
    update: authedProcedure
      .input(UpdateSessionInput)
      .output(Session)
      .mutation(async ({ ctx, input }) => await ctx.engine.sessions.update(ctx.owner, input)),
    delete: authedProcedure
      .input(SessionInput)
      .output(DeleteSessionResult)
      .mutation(async ({ ctx, input, signal }) => await ctx.engine.sessions.delete(ctx.owner, { ...input, signal })),
    /** The newest states of sessions, and batches of runs. It does not return: every end means "reconnect". */
    follow: authedProcedure
      .input(FollowSessionsInput)
      .output(UpdateStream)
      .subscription(({ ctx, input, signal: callSignal }) =>
        subscribe(ctx, { path: 'sessions.follow', callSignal }, (signal) => followAll(ctx, input, signal)),
      ),
  })
}
