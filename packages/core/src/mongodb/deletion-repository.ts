import type { DeletionRepository } from '../ports/deletion-repository.ts'
import { markDeleted } from './mark-deleted.ts'
import type { MongoContext } from './mongo-context.ts'
import { purgeSession } from './purge-session.ts'
import { longAttemptMs, retryRequest, retryUntil } from './retry.ts'
import { sweepRuns } from './sweep-runs.ts'

/** Keeps one look from holding more than a bounded list. */
const maxSessionsPerLook = 1_000

export function createDeletionRepository(storage: MongoContext): DeletionRepository {
  const { sessions } = storage.collections
  const attemptMs = longAttemptMs
  return {
    markDeleted: (owner, sessionId) => retryRequest(() => markDeleted(storage, owner, sessionId)),
    purgeSession: (key, { signal, ...options }) =>
      // One attempt's own signal: two that were at it at once would be harmless, and twice the work.
      retryUntil(signal, (attempt) => purgeSession(storage, key, { ...options, signal: attempt }), { attemptMs }),
    async findSessionsToPurge() {
      const marked = { purge: { $exists: true } }
      const found = await retryRequest(() =>
        sessions
          .find(marked, { projection: { _id: 1 } })
          .sort({ deletedAt: 1 })
          .limit(maxSessionsPerLook)
          .toArray(),
      )
      return found.map((session) => session._id)
    },
    sweepRuns: ({ maxRuns, signal }) => retryUntil(signal, () => sweepRuns(storage, { maxRuns }), { attemptMs }),
  }
}
