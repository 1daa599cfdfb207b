import { AuditEntry, PageInput, pageOf } from '@verbatim/core'
import type { Procedures } from '../procedures.ts'
import { t } from '../trpc.ts'

export function createAuditRouter({ operatorProcedure }: Procedures) {
  return t.router({
    list: operatorProcedure
      .input(PageInput)
      .output(pageOf(AuditEntry))
      .query(async ({ ctx, input }) => await ctx.engine.audit.list({ ...input, tenantId: ctx.operatedTenant })),
  })
}
