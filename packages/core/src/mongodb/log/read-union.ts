import type { AggregateOptions, AggregationCursor, Collection, Document } from 'mongodb'

/**
 * What several pipelines of a collection find, with one command. A clustered collection answers a list of ranges, or of keys, by reading all that
 * lies between the first and the last of them (MongoDB 6, measured: 700 ms instead of 11 ms for 100 runs of 300 entries; a read for each run takes
 * 104 ms). At least one pipeline is needed.
 */
export function readUnion<TFound extends Document>(
  collection: Pick<Collection<never>, 'collectionName' | 'aggregate'>,
  [first = [], ...others]: readonly Document[][],
  options: AggregateOptions = {},
): AggregationCursor<TFound> {
  const unions = others.map((pipeline) => ({ $unionWith: { coll: collection.collectionName, pipeline } }))
  return collection.aggregate<TFound>([...first, ...unions], options)
}
