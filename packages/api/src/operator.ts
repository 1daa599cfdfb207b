/** Operators: principals whose scopes let them see to other users' data, of their own tenant or of all. */
import { ownerOf, VerbatimError } from '@verbatim/core'
import type { Principal } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'

/** Lets a principal read the audit, and export and erase the data of users, of its own tenant. */
export const operatorScope = 'verbatim:operator'

/** The same in all tenants. */
export const allTenantsScope = 'verbatim:operator:all'

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
