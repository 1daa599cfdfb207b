/**
 * The router over an engine. It serves alone (`createApi`), mounts under any key of a team's own tRPC app, and runs in process
 * with `createCaller`. tRPC procedures are plain functions, so a mounted router takes the context and the transformer of its
 * root. Its errors keep Verbatim's shape there, see procedures.ts.
 */
import type { TRPCBuiltRouter } from '@trpc/server'
import type { ApiContext } from './context.ts'
import { createProcedures } from './procedures.ts'
import type { RouterOptions, RouterParts } from './procedures.ts'
import { createAuditRouter } from './routers/audit.ts'
import { createMessagesRouter } from './routers/messages.ts'
import { createPrincipalsRouter } from './routers/principals.ts'
import { createRunsRouter } from './routers/runs.ts'
import { createSessionsRouter } from './routers/sessions.ts'
import { defaultReauthenticateMs, Reauthenticator } from './sse/reauthenticator.ts'
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
  const { logger, reauthenticateMs = defaultReauthenticateMs } = options
  const parts = { ...options, reauthenticator: new Reauthenticator({ reauthenticateMs, logger }) }
  // tRPC does not check the context of mounted routers, so this trusts the type that the team's principalOf names.
  return createRoutes(parts) as unknown as AppRouter<TContext>
}

/** The router of an API, which ends its streams itself. */
export function createApiRouter(options: RouterOptions<ApiContext>): AppRouter<ApiContext> {
  return createRoutes({ ...options, batchOf: ({ batch }: ApiContext) => batch }) as unknown as AppRouter<ApiContext>
}

/**
 * @param parts `RouterParts`. The signature does not name it, because the client's build copies the router's type and
 * would copy the engine's and the driver's types with it.
 */
function createRoutes(parts: object) {
  const procedures = createProcedures(parts as RouterParts)
  return t.router({
    sessions: createSessionsRouter(procedures),
    messages: createMessagesRouter(procedures),
    runs: createRunsRouter(procedures),
    principals: createPrincipalsRouter(procedures),
    audit: createAuditRouter(procedures),
  })
}
