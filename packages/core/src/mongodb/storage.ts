import type { MongoClient } from 'mongodb'
import type { Clock } from '../ports/clock.ts'
import type { EventLog } from '../ports/event-log.ts'
import type { RunRepository } from '../ports/run-repository.ts'
import type { SessionRepository } from '../ports/session-repository.ts'
import { collectionsOf } from './collections.ts'
import { databaseSettings } from './connect.ts'
import { createEventLog } from './event-log.ts'
import { migrate } from './migrate.ts'
import { retryRequest } from './retry.ts'
import { createRunRepository } from './run-repository.ts'
import { createSessionRepository } from './session-repository.ts'

/** Everything the engine needs from a database. */
export interface MongoStorage {
  readonly sessionRepository: SessionRepository
  readonly runRepository: RunRepository
  readonly eventLog: EventLog
  /** Makes collections and indexes; once, at start. @throws VerbatimError `UNSUPPORTED_DEPLOYMENT`, `UNAVAILABLE` */
  migrate(): Promise<void>
  /** Resolves when the database answers. @throws VerbatimError `UNAVAILABLE` */
  ping(signal?: AbortSignal): Promise<void>
}

/**
 * The engine's storage in `databaseName`, over a client that the caller owns and closes. Write concern majority and read
 * concern majority are set here, whatever the client was made with.
 */
export function createMongoStorage({
  client,
  databaseName,
  clock,
}: {
  client: MongoClient
  databaseName: string
  clock: Clock
}): MongoStorage {
  const db = client.db(databaseName, databaseSettings)
  const storage = { client, clock, collections: collectionsOf(db) }
  return {
    sessionRepository: createSessionRepository(storage),
    runRepository: createRunRepository(storage),
    eventLog: createEventLog(storage.collections),
    migrate: () => retryRequest(() => migrate(db)),
    async ping(signal) {
      await retryRequest(() => db.command({ ping: 1 }), signal)
    },
  }
}
