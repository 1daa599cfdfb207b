import { EraseInput, Erasure } from '@verbatim/core'
import { operatedOwner } from '../operator.ts'
import type { Procedures } from '../procedures.ts'
import { t } from '../trpc.ts'

export function createPrincipalsRouter({ operatorProcedure }: Procedures) {
  return t.router({
    erase: operatorProcedure
      .input(EraseInput)
      .output(Erasure)
      .mutation(async ({ ctx: { engine, owner: requestedBy, principal }, input, signal }) => {
        const { erasureId, ...named } = input
        const owner = operatedOwner(engine, principal, named)
        return await engine.principals.erase(owner, { erasureId, requestedBy, signal })
      }),
  })
}
