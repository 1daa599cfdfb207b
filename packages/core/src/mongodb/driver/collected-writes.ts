import { BSON } from 'mongodb'
import type { AnyBulkWriteOperation, ClientSession, Collection, Document } from 'mongodb'
import type { Filter, OptionalUnlessRequiredId, UpdateFilter } from 'mongodb'
import { SharedCounts } from './shared-counts.ts'

interface OneUpdate<TDocument extends Document> {
  readonly filter: Filter<TDocument>
  readonly update: UpdateFilter<TDocument>
  readonly upsert?: boolean
}

/**
 * What the bodies of one transaction write without a look at the answer. It is sent when all of them have run: one command for a
 * collection, however many bodies there are. A body does not read what it has collected.
 *
 * Documents and updates go beside their command, which keeps them out of the log of mongod (see insert.ts).
 */
export class CollectedWrites {
  readonly counts = new SharedCounts()
  readonly #inserts = new Map<unknown, { collection: Collection; documents: Document[] }>()
  readonly #updates = new Map<unknown, { collection: Collection; updates: AnyBulkWriteOperation<Document>[] }>()
  #insertedBytes = 0

  /** How long the documents are that are collected. */
  get insertedBytes(): number {
    return this.#insertedBytes
  }

  insert<TDocument extends Document>(
    collection: Collection<TDocument>,
    document: OptionalUnlessRequiredId<TDocument>,
  ): void {
    const { documents } = entryOf(this.#inserts, collection, () => ({ collection: untyped(collection), documents: [] }))
    documents.push(document)
    this.#insertedBytes += BSON.calculateObjectSize(document)
  }

  /** Updates one document. When the filter matches none, and nothing is upserted, the transaction is undone. */
  update<TDocument extends Document>(
    collection: Collection<TDocument>,
    { filter, update, upsert = false }: OneUpdate<TDocument>,
  ): void {
    const { updates } = entryOf(this.#updates, collection, () => ({ collection: untyped(collection), updates: [] }))
    updates.push({
      updateOne: { filter: filter as Filter<Document>, update: update as UpdateFilter<Document>, upsert },
    })
  }

  /** Sends all of it. False when an update has matched nothing: the transaction is to be undone. */
  async flush(session: ClientSession): Promise<boolean> {
    for (const { collection, updates } of this.#updates.values()) {
      const { matchedCount, upsertedCount } = await collection.bulkWrite(updates, { session })
      if (matchedCount + upsertedCount < updates.length) return false
    }
    for (const { collection, documents } of this.#inserts.values()) await collection.insertMany(documents, { session })
    return true
  }
}

function entryOf<TEntry>(entries: Map<unknown, TEntry>, key: unknown, make: () => TEntry): TEntry {
  const entry = entries.get(key) ?? make()
  entries.set(key, entry)
  return entry
}

/** What is collected for a collection was checked against its type. */
function untyped<TDocument extends Document>(collection: Collection<TDocument>): Collection {
  return collection as unknown as Collection
}
