/**
 * Procedure builders. In: tRPC's context, of this API or of a team's app. Out: `ctx.engine`, and `ctx.owner` for a principal.
 * The size of every input is checked here, before its schema: how many values, how deep, how long its keys.
 */
import { errorOf, excessOfValue, ownerOf, refuseExcess } from '@verbatim/core'
import type { Engine, Logger } from '@verbatim/core/server'
import { toPrincipal } from './context.ts'
import type { AuthedContext, CallContext, PrincipalInput, WatchCredentials } from './context.ts'
import type { BatchBudget } from './limits/batch-budget.ts'
import { operatedTenantOf } from './operator.ts'
import type { Reauthenticator } from './sse/reauthenticator.ts'
import { toErrorShape } from './to-error-shape.ts'
import { reportedErrorOf, toTrpcError } from './to-wire-error.ts'
import { t } from './trpc.ts'

/** What `createAppRouter` takes. */
export interface RouterOptions<TContext extends object> {
  readonly engine: Engine
  /** The caller's principal, from the context of the tRPC app that mounts the router; null without one. */
  readonly principalOf: (ctx: TContext) => PrincipalInput | Promise<PrincipalInput>
  readonly logger?: Logger | undefined
  /**
   * How often `principalOf` is called again, with the same context, for each open follow. A `principalOf` that only reads what was
   * stored in the context cannot see that a token was revoked: let it ask again, or give `expiresAt`. @default 60_000
   */
  readonly reauthenticateMs?: number | undefined
}

/** What a router is made from. */
export interface RouterParts extends RouterOptions<object> {
  /** Ends follows whose credentials end; undefined when the API does that itself. */
  readonly reauthenticator: Reauthenticator | undefined
  /** What the calls of the context's batch share; undefined in a router that a team mounts, whose adapter is the team's. */
  readonly batchOf?: (ctx: object) => BatchBudget | undefined
}

export type Procedures = ReturnType<typeof createProcedures>

export function createProcedures(parts: RouterParts) {
  const { engine, principalOf, logger, reauthenticator, batchOf } = parts
  const callContext: CallContext = { engine, logger }

  // `errors` comes first and on each procedure: a team's root has another formatter, and clients still need `data.verbatim`.
  const typedProcedure = t.procedure.errors(toErrorShape).use(async function translateErrors({ next, path }) {
    const result = await next({ ctx: callContext })
    if (result.ok) return result
    return { ...result, error: toTrpcError(reportedErrorOf(result.error, { logger, where: path })) }
  })

  const publicProcedure = typedProcedure.use(async function shareBatch({ ctx, next, type }) {
    return await (batchOf?.(ctx)?.run(type, async () => await next()) ?? next())
  })

  const authedProcedure = publicProcedure.use(async function requirePrincipal({ ctx, next, getRawInput }) {
    const identify = async () => toPrincipal(await principalOf(ctx))
    const caller = await identify()
    if (caller === null) throw errorOf('UNAUTHENTICATED')
    const watchCredentials =
      reauthenticator && (((onEnd) => reauthenticator.watch({ caller, identify, onEnd })) satisfies WatchCredentials)
    const authed: AuthedContext = { ...callContext, owner: ownerOf(caller), principal: caller, watchCredentials }
    refuseExcess(excessOfValue(await getRawInput())) // after the principal: input without one costs no walk
    return await next({ ctx: authed })
  })

  const operatorProcedure = authedProcedure.use(async function requireOperator({ ctx, next }) {
    return await next({ ctx: { operatedTenant: operatedTenantOf(engine, ctx.principal) } })
  })

  return { publicProcedure, authedProcedure, operatorProcedure }
}
