/** Operators: principals whose scopes let them see to other users' data, of their own tenant or of all. */
import { ownerOf, Principal, VerbatimError } from '@verbatim/core'
import type { Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'

/** Lets a principal read the audit, and export and erase the data of users, of its own tenant. */
const operatorScope = 'verbatim:operator'

/** The same in all tenants. */
const allTenantsScope = 'verbatim:operator:all'

/** The tenant that `principal` operates; undefined for all of them. @throws VerbatimError `FORBIDDEN` for one that is no operator */
export function operatedTenantOf(engine: Engine, principal: Principal): string | undefined {
  const { scopes, tenantId } = principal
  if (scopes.includes(allTenantsScope)) return undefined
  if (scopes.includes(operatorScope)) return tenantId
  throw missingScope(engine, principal, operatorScope)
}

/** The refusal of a principal without `scope`, which the audit takes down. */
export function missingScope({ audit }: Engine, principal: Principal, scope: string): VerbatimError {
  audit.record({ action: 'scope_missing', owner: ownerOf(principal) })
  return new VerbatimError('FORBIDDEN', `The principal lacks the scope ${scope}`)
}

/** A user, as a caller names it: its own id and tenant where they are left out. */
interface NamedUser {
  readonly userId?: string | undefined
  readonly tenantId?: string | undefined
}

/** The owner that `principal` names: itself, or a user that it operates. @throws VerbatimError `FORBIDDEN`, `INVALID_INPUT` */
export function ownerFor(engine: Engine, principal: Principal, named: NamedUser): Owner {
  const { userId = principal.userId, tenantId = principal.tenantId } = named
  const isSelf = userId === principal.userId && tenantId === principal.tenantId
  return isSelf ? ownerOf(principal) : operatedOwner(engine, principal, { userId, tenantId })
}

/** The owner of a user that `principal` operates. @throws VerbatimError `FORBIDDEN`, `INVALID_INPUT` */
export function operatedOwner(engine: Engine, principal: Principal, named: NamedUser & { userId: string }): Owner {
  const { userId, tenantId = principal.tenantId } = named
  const operated = operatedTenantOf(engine, principal)
  if (operated !== undefined && operated !== tenantId) throw missingScope(engine, principal, allTenantsScope)
  return ownerOf(Principal.parse({ userId, tenantId }))
}
