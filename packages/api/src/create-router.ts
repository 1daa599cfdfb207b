/**
 * The router over an engine. It serves alone (`createApi`), mounts under any key of a team's own tRPC app, and runs in process
 * with `createCaller`. tRPC procedures are plain functions, so a mounted router takes the context and the transformer of its
 * root. Its errors keep Verbatim's shape there, see procedures.ts.
 */
import type { TRPCBuiltRouter } from '@trpc/server'
import { createProcedures } from './procedures.ts'
import type { RouterOptions } from './procedures.ts'
import { createAuditRouter } from './routers/audit.ts'
import { createMessagesRouter } from './routers/messages.ts'
import { createRunsRouter } from './routers/runs.ts'
import { createSessionsRouter } from './routers/sessions.ts'
import type { AppErrorShape } from './to-error-shape.ts'
import { t } from './trpc.ts'

/** The router; `TContext` is what `createCaller` takes. Clients import this type and nothing else. */
export type AppRouter<TContext extends object = object> = TRPCBuiltRouter<
  { ctx: TContext; meta: object; errorShape: AppErrorShape; transformer: false },
  ReturnType<typeof createRoutes>['_def']['record']
>

/**
 * Makes the router.
 *
 * @example
 * const verbatim = createAppRouter({ engine, principalOf: (ctx: TeamContext) => ctx.user && { userId: ctx.user.id } })
 * export const appRouter = t.router({ verbatim, posts: postsRouter }) // `t` is the team's own
 */
export function createAppRouter<TContext extends object>(options: RouterOptions<TContext>): AppRouter<TContext> {
  // tRPC does not check the context of mounted routers, so this trusts the type that the team's principalOf names.
  return createRoutes(options) as unknown as AppRouter<TContext>
}

/**
 * @param options `RouterOptions`. The signature does not name it, because the client's build copies the router's type and
 * would copy the engine's and the driver's types with it.
 */
function createRoutes(options: object) {
  const procedures = createProcedures(options as RouterOptions<object>)
  return t.router({
    sessions: createSessionsRouter(procedures),
    messages: createMessagesRouter(procedures),
    runs: createRunsRouter(procedures),
    audit: createAuditRouter(procedures),
  })
}
