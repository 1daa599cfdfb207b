/** Procedure builders. In: tRPC's context, of ours or of a team's app. Out: `ctx.engine`, and `ctx.owner` once a principal is there. */
import { ownerOf, VerbatimError } from '@verbatim/core'
import type { Logger, Engine } from '@verbatim/core/server'
import { toPrincipal } from './context.ts'
import type { AuthedContext, CallContext, PrincipalInput } from './context.ts'
import { checkInput } from './input-limits.ts'
import { toErrorShape } from './to-error-shape.ts'
import { reportedErrorOf, toTrpcError } from './to-wire-error.ts'
import { t } from './trpc.ts'

/** What the router is made of. */
export interface RouterOptions<TContext extends object> {
  readonly engine: Engine
  /** Who calls, by the context of the tRPC app that the router is mounted in; null for nobody. */
  readonly principalOf: (ctx: TContext) => PrincipalInput | Promise<PrincipalInput>
  readonly logger?: Logger | undefined
}

export type Procedures = ReturnType<typeof createProcedures>

export function createProcedures({ engine, principalOf, logger }: RouterOptions<object>) {
  const callContext: CallContext = { engine, logger }

  // `errors` goes first and per procedure: under a team's root, whose formatter knows nothing of ours, clients still get `data.verbatim`.
  const publicProcedure = t.procedure.errors(toErrorShape).use(async function translateErrors({ next, path }) {
    const result = await next({ ctx: callContext })
    if (result.ok) return result
    return { ...result, error: toTrpcError(reportedErrorOf(result.error, { logger, where: path })) }
  })

  const authedProcedure = publicProcedure.use(async function requirePrincipal({ ctx, next, getRawInput }) {
    const principal = toPrincipal(await principalOf(ctx))
    if (principal === null) throw new VerbatimError('UNAUTHENTICATED')
    const authed: AuthedContext = { ...callContext, owner: ownerOf(principal) }
    checkInput(await getRawInput()) // behind the principal: nobody's input is not worth a look
    return await next({ ctx: authed })
  })

  return { publicProcedure, authedProcedure }
}
