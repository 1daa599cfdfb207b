/** Keys of the ledger are documents, compared field by field in their order: so the days of an owner are a range, and so is one day. */
import type { Owner } from '../../contract/principal.ts'
import type { LedgerDocument } from './collections.ts'

type LedgerKey = LedgerDocument['_id']

/** Sorts after every shard, and after every day. */
export const afterAll = '\uFFFF'

export function ledgerRange(from: LedgerKey, to: LedgerKey): { readonly $gte: LedgerKey; readonly $lt: LedgerKey } {
  return { $gte: from, $lt: to }
}

/** Everything that is counted for a principal. The totals of the tenant name no user. */
export function ledgerOf({ tenantId: t, ownerId: o }: Owner) {
  return { _id: ledgerRange({ t, o, d: '', p: '' }, { t, o, d: afterAll, p: '' }) }
}
