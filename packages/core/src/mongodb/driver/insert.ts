import type { Collection, Document, InsertManyResult, OptionalUnlessRequiredId } from 'mongodb'
import type { BulkWriteOptions } from 'mongodb'

/**
 * Inserts one document. The way for everything that holds what people and models write: as a list, the driver sends documents beside the
 * command, and mongod logs the command alone. A document of `insertOne`, and the fields of an update, are parts of the command, which
 * mongod writes into its own log when the command is slow, fails or meets another transaction.
 */
export async function insertDocument<TDocument extends Document>(
  collection: Collection<TDocument>,
  document: OptionalUnlessRequiredId<TDocument>,
  options: BulkWriteOptions = {},
): Promise<InsertManyResult<TDocument>> {
  return await collection.insertMany([document], options)
}
