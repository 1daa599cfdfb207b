import type { EventLog } from '../ports/event-log.ts'
import type { PrincipalRepository } from '../ports/principal-repository.ts'
import { longAttemptMs, retryRequest, retryUntil } from './driver/retry.ts'
import { beginErasure, erasePrincipal } from './principals/erase-principal.ts'
import { exportPrincipal } from './principals/export-principal.ts'
import type { MongoContext } from './schema/mongo-context.ts'

const maxErasuresPerLook = 100

export function createPrincipalRepository(storage: MongoContext, eventLog: EventLog): PrincipalRepository {
  const { erasures } = storage.collections
  return {
    export: (owner, { signal }) => exportPrincipal({ storage, eventLog, owner, signal }),
    beginErasure: (owner, erasure) => retryRequest(() => beginErasure(storage, owner, erasure)),
    erase: (key, { signal, ...options }) =>
      retryUntil(signal, (attempt) => erasePrincipal(storage, key, { ...options, signal: attempt }), {
        attemptMs: longAttemptMs,
      }),
    async findErasures() {
      const found = await retryRequest(() =>
        erasures
          .find({}, { projection: { _id: 1 } })
          .sort({ requestedAt: 1 })
          .limit(maxErasuresPerLook)
          .toArray(),
      )
      return found.map(({ _id }) => _id)
    },
  }
}
