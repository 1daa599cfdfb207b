/**
 * The router over a engine. It serves alone (`createApi`), mounts under any key of a team's own tRPC app, and is called in process
 * with `createCaller`. tRPC procedures are plain functions: a mounted router takes the context and the transformer of the root
 * that it is mounted in, whichever `initTRPC` made it. Its errors keep our shape there, see procedures.ts.
 */
import type { TRPCBuiltRouter } from '@trpc/server'
import { createProcedures } from './procedures.ts'
import type { RouterOptions } from './procedures.ts'
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
  // The border to the team's app: tRPC does not check the context of mounted routers, so the type that principalOf names is believed.
  return createRoutes(options) as unknown as AppRouter<TContext>
}

/**
 * @param options `RouterOptions`, not named in the signature: the client's build copies it with the router's type, and would
 * copy the engine's and the driver's types to every browser with it
 */
function createRoutes(options: object) {
  const procedures = createProcedures(options as RouterOptions<object>)
  return t.router({
    sessions: createSessionsRouter(procedures),
    messages: createMessagesRouter(procedures),
    runs: createRunsRouter(procedures),
  })
}
