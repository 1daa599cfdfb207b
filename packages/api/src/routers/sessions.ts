import { DeleteSessionResult, PageInput, pageOf, Session, SessionId, SessionTitle } from '@verbatim/core'
import { z } from 'zod'
import type { Procedures } from '../procedures.ts'
import { t } from '../trpc.ts'

const CreateSessionInput = z.strictObject({ sessionId: SessionId.optional(), title: SessionTitle.nullish() })
const SessionInput = z.strictObject({ sessionId: SessionId })
const UpdateSessionInput = z.strictObject({ sessionId: SessionId, title: SessionTitle.nullable() })

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
  })
}
