import type { LedgerAccount, UsageLedger } from '../ports/usage-ledger.ts'
import { retryUntil } from './driver/retry.ts'
import { afterAll, ledgerRange } from './schema/ledger-keys.ts'
import type { MongoContext } from './schema/mongo-context.ts'

/** How long a day's use is kept after it, so that an operator can read a month. */
const keptMs = 35 * 24 * 60 * 60 * 1_000

export function createUsageLedger({ collections: { usageLedger: ledger } }: MongoContext): UsageLedger {
  return {
    async read(accounts, signal) {
      const found = await retryUntil(signal, () => ledger.find({ $or: accounts.map(shardsOf) }).toArray())
      return found.map(({ _id: { t, o, d, p }, tokens, costUsd }) => ({
        account: { tenantId: t, ownerId: o, day: d },
        shard: p,
        tokens,
        costUsd,
      }))
    },
    async store(totals, signal) {
      const updates = totals.map(({ account: { tenantId, ownerId, day }, shard, tokens, costUsd }) => ({
        updateOne: {
          filter: { _id: { t: tenantId, o: ownerId, d: day, p: shard } },
          update: {
            $max: { tokens, costUsd },
            $setOnInsert: { expiresAt: new Date(Date.parse(day) + keptMs), v: 1 as const },
          },
          upsert: true,
        },
      }))
      await retryUntil(signal, () => ledger.bulkWrite(updates, { ordered: false }))
    },
  }
}

function shardsOf({ tenantId: t, ownerId: o, day: d }: LedgerAccount) {
  return { _id: ledgerRange({ t, o, d, p: '' }, { t, o, d, p: afterAll }) }
}
