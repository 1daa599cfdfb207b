import type { AggregationCursor, Collection, Document } from 'mongodb'

type Source = Pick<Collection<never>, 'collectionName' | 'aggregate'>

/**
 * What several pipelines of a collection find, with one command. A clustered collection answers a list of ranges, or of keys, by reading
 * all that lies between the first and the last of them (MongoDB 6, measured: 700 ms instead of 11 ms for 100 runs of 300 entries; a read
 * for each run takes 104 ms).
 */
export function readUnion<TFound extends Document>(
  collection: Source,
  pipelines: readonly Document[][],
): AggregationCursor<TFound> {
  return collection.aggregate<TFound>(unionOf(collection, pipelines))
}

/** The same as the beginning of a pipeline. There is at least one of them. */
export function unionOf(
  { collectionName: coll }: Pick<Source, 'collectionName'>,
  [first = [], ...others]: readonly Document[][],
): Document[] {
  return [...first, ...others.map((pipeline) => ({ $unionWith: { coll, pipeline } }))]
}
