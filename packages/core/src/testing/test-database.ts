import type { MongoClient } from 'mongodb'
import { createMongoClient } from '../mongodb/driver/connect.ts'
import { createMongoStorage } from '../mongodb/storage.ts'
import type { MongoStorage } from '../mongodb/storage.ts'
import { systemClock } from '../engine/system-clock.ts'
import type { ContentEncryption } from '../ports/key-service.ts'

/** A database of its own on a real MongoDB, dropped when it is disposed of. */
export interface TestDatabase extends AsyncDisposable {
  readonly uri: string
  readonly databaseName: string
  readonly client: MongoClient
  readonly storage: MongoStorage
}

/** Opens a database with a random name on the server at `uri`, with collections and indexes made. */
export async function openTestDatabase(
  uri: string,
  { encryption }: { encryption?: ContentEncryption | undefined } = {},
): Promise<TestDatabase> {
  const databaseName = `verbatim-test-${crypto.randomUUID().slice(0, 13)}`
  const client = createMongoClient(uri)
  const storage = createMongoStorage({ client, databaseName, clock: systemClock, encryption })
  await storage.migrate()
  return {
    uri,
    databaseName,
    client,
    storage,
    async [Symbol.asyncDispose]() {
      await client.db(databaseName).dropDatabase()
      await client.close()
    },
  }
}
