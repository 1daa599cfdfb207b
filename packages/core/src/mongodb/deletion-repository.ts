import type { DeletionRepository } from '../ports/deletion-repository.ts'
import { storeTombstone } from './transitions/delete-session.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { known } from './schema/version.ts'
import { purgeSession } from './retention/purge-session.ts'
import { expireMessages } from './retention/expire-messages.ts'
import type { AgeCursor } from './retention/expire-messages.ts'
import { longAttemptMs, retryRequest, retryUntil } from './driver/retry.ts'
import { sweepRuns } from './retention/sweep-runs.ts'

/** Keeps one look from holding more than a bounded list. */
const maxSessionsPerLook = 1_000

export function createDeletionRepository(storage: MongoContext): DeletionRepository {
  const { sessions } = storage.collections
  const attemptMs = longAttemptMs
  return {
    storeTombstone: (owner, sessionId) => retryRequest(() => storeTombstone(storage, owner, { sessionId })),
    purgeSession: (key, { signal, ...options }) =>
      // One attempt's own signal: two that were at it at once would be harmless, and twice the work.
      retryUntil(signal, (attempt) => purgeSession(storage, key, { ...options, signal: attempt }), { attemptMs }),
    async findSessionsToPurge() {
      // An erasure purges its own.
      const marked = { purge: { $exists: true }, 'purge.erasure': { $exists: false }, ...known }
      const found = await retryRequest(() =>
        sessions
          .find(marked, { projection: { _id: 1 } })
          .sort({ deletedAt: 1 })
          .limit(maxSessionsPerLook)
          .toArray(),
      )
      return found.map((session) => session._id)
    },
    async expireMessages({ before, signal }) {
      let after: AgeCursor | undefined
      do {
        const { next, idle } = await retryUntil(signal, () => expireMessages(storage, { before, after }), { attemptMs })
        for (const { owner, sessionId } of idle) {
          const expired = { sessionId, purge: { actor: null }, idleSince: before }
          await retryUntil(signal, () => storeTombstone(storage, owner, expired))
        }
        after = next
      } while (after !== undefined)
    },
    sweepRuns: ({ maxRuns, signal }) => retryUntil(signal, () => sweepRuns(storage, { maxRuns }), { attemptMs }),
  }
}
