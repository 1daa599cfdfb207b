/**
 * The router over an engine. It serves alone (`createApi`), mounts under any key of a team's own tRPC app, and runs in process
 * with `createCaller`. tRPC procedures are plain functions, so a mounted router takes the context and the transformer of its
 * root. Its errors keep Verbatim's shape there, see procedures.ts.
 */
import type { TRPCBuiltRouter, TRPCMutationProcedure, TRPCQueryProcedure } from '@trpc/server'
import type {
  AgentIdOf,
  AgentMap,
  AnyAgents,
  DefaultAgentId,
  InputField,
  MessageOf,
  Page,
  StartRunInput,
} from '@verbatim/core'
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

/**
 * The router; `TContext` is what `createCaller` takes, `TAgents` are the agents of the engine (`AgentsOf`), whose ids, inputs and outputs
 * the compiler then checks. Clients import this type and nothing else.
 */
export type AppRouter<TContext extends object = object, TAgents extends AgentMap = AnyAgents> = TRPCBuiltRouter<
  { ctx: TContext; meta: object; errorShape: AppErrorShape; transformer: false },
  string extends keyof TAgents ? Routes : TypedRoutes<TAgents>
>

type Routes = ReturnType<typeof createRoutes>['_def']['record']

/** The routes whose input or output depends on the agent. */
type TypedRoutes<TAgents extends AgentMap> = Omit<Routes, 'runs' | 'messages'> & {
  readonly runs: Omit<Routes['runs'], 'start'> & {
    readonly start: TRPCMutationProcedure<With<Routes['runs']['start'], { input: StartInputOf<TAgents> }>>
  }
  readonly messages: Omit<Routes['messages'], 'get' | 'list'> & {
    readonly get: TRPCQueryProcedure<With<Routes['messages']['get'], { output: MessageOf<TAgents> }>>
    readonly list: TRPCQueryProcedure<With<Routes['messages']['list'], { output: Page<MessageOf<TAgents>> }>>
  }
}

type With<TProcedure extends { readonly _def: { readonly $types: object } }, TTypes> = Omit<
  TProcedure['_def']['$types'] & { meta: unknown },
  keyof TTypes
> &
  TTypes

/** An agent is named with what it takes; the default one need not be named. */
type StartInputOf<TAgents extends AgentMap> = Omit<StartRunInput, 'agentId' | 'input'> &
  (
    | { [TId in AgentIdOf<TAgents>]: { agentId: TId } & InputField<TAgents[TId]['input']> }[AgentIdOf<TAgents>]
    | ({ agentId?: undefined } & InputField<TAgents[DefaultAgentId<TAgents>]['input']>)
  )

/**
 * Makes the router.
 *
 * @example
 * const verbatim = createAppRouter({ engine, principalOf: (ctx: TeamContext) => ctx.user && { userId: ctx.user.id } })
 * export const appRouter = t.router({ verbatim, posts: postsRouter }) // `t` is the team's own
 */
export function createAppRouter<TContext extends object, TAgents extends AgentMap = AnyAgents>(
  options: RouterOptions<TContext>,
): AppRouter<TContext, TAgents> {
  const { logger, reauthenticateMs = defaultReauthenticateMs } = options
  const parts = { ...options, reauthenticator: new Reauthenticator({ reauthenticateMs, logger }) }
  // tRPC does not check the context of mounted routers, so this trusts the type that the team's principalOf names.
  return createRoutes(parts) as unknown as AppRouter<TContext, TAgents>
}

/** The router of an API, which ends its streams itself. */
export function createApiRouter(options: RouterOptions<ApiContext>): AppRouter<ApiContext> {
  const batchOf = ({ batch }: ApiContext) => batch
  return createRoutes({ ...options, batchOf }) as unknown as AppRouter<ApiContext>
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
