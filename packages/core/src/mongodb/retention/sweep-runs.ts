import type { RunKey } from '../../ports/event-log.ts'
import { entriesOf } from '../log/archive-events.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AuditDocument, RunDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { known } from '../schema/version.ts'
import { inTransaction } from '../driver/transaction.ts'

type DueRun = Pick<RunDocument, '_id' | 'status' | 'tenantId'>

/**
 * One attempt. Of a run whose events have expired it removes what archiving left in the log and what the TTL index has not removed
 * yet; of a deleted run, what a lost process may have stored after the purge. Answers how many were due.
 */
export async function sweepRuns(storage: MongoContext, { maxRuns }: { maxRuns: number }): Promise<number> {
  const { runs, runEvents, runArchives } = storage.collections
  const soonest = await runs
    .find<DueRun & { isDue: boolean }>({ sweepAt: { $exists: true }, ...known })
    .sort({ sweepAt: 1 })
    .limit(maxRuns)
    // The answer tells it, not the filter: so the query examines nothing after the first run that is not due.
    .project<DueRun & { isDue: boolean }>({ status: 1, tenantId: 1, isDue: { $lte: ['$sweepAt', '$$NOW'] } })
    .toArray()
  const due = soonest.filter((run) => run.isDue)
  const [deleted, expired] = [due.filter(isDeleted), due.filter((run) => !isDeleted(run))]
  for (const { _id } of due) await runArchives.deleteMany(entriesOf(_id))
  for (const { _id } of expired) await runEvents.deleteMany(entriesOf(_id))
  // The key without events stays: a late writer runs into it.
  for (const { _id } of deleted) await runEvents.deleteMany({ ...entriesOf(_id), e: { $ne: [] } })
  await runs.updateMany({ _id: { $in: keysOf(deleted) }, status: 'deleted' }, { $unset: { sweepAt: true } })
  for (const tenantId of new Set(expired.map((run) => run.tenantId))) {
    const ofTenant = expired.filter((run) => run.tenantId === tenantId)
    await storeExpiry(storage, tenantId, keysOf(ofTenant))
  }
  return due.length
}

function isDeleted(run: DueRun): boolean {
  return run.status === 'deleted'
}

function keysOf(runs: readonly DueRun[]): RunKey[] {
  return runs.map((run) => run._id)
}

/** One transaction, so that a run is in one receipt, however many processes sweep at once and wherever they stop. */
async function storeExpiry(storage: MongoContext, tenantId: string, keys: readonly RunKey[]): Promise<void> {
  const { client, collections, clock } = storage
  const { runs, audit } = collections
  const open = { _id: { $in: [...keys] }, status: { $ne: 'deleted' as const }, sweepAt: { $exists: true } }
  const receipt = await inTransaction(client, async (session): Promise<AuditDocument | undefined> => {
    const swept = await runs.find(open, { session, projection: { lastSeq: 1 } }).toArray()
    if (swept.length === 0) return undefined
    const _id = { $in: swept.map((run) => run._id) }
    await runs.updateMany({ _id }, { $unset: { sweepAt: true } }, { session })
    const events = swept.reduce((sum, run) => sum + (run.lastSeq ?? 0), 0)
    const expired: AuditDocument = {
      _id: crypto.randomUUID(),
      tenantId,
      actor: null,
      action: 'events_expired',
      target: null,
      counts: { runs: swept.length, events },
      at: clock.now(),
      v: 1,
    }
    await audit.insertOne(expired, { session })
    return expired
  })
  if (receipt !== undefined) announce(storage.audit, [receipt])
}
