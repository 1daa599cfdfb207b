/** A list of documents whose bytes have a bound, also while they are read. In: a filter and an order. Out: the first of them. */
import type { Collection, Document, Filter, Sort } from 'mongodb'

export interface BoundedRead<TDocument> {
  readonly filter: Filter<TDocument>
  readonly sort: Sort
  readonly limit: number
  /** A first document may be larger: a list that could not pass it would never end. */
  readonly maxBytes: number
  /** The field that makes a document large. */
  readonly bulk: string
  /** How many are likely to fit; the server looks at few more. */
  readonly expected: number
}

export interface BoundedResult<TDocument> {
  readonly documents: readonly TDocument[]
  /** The last document that the list reached, perhaps without its bulk; undefined for an empty list. */
  readonly last: TDocument | undefined
  readonly isMore: boolean
}

/** Smaller than this a second read costs more than it saves. */
const minWholeBytes = 1_024

/**
 * One read brings the documents with their sizes, the large ones without their bulk. Only when some are large and still fit, a second
 * read brings those. So a list of small documents costs one command, and no list brings more than about twice `maxBytes`.
 */
export async function readBounded<TDocument extends Document>(
  collection: Collection<TDocument>,
  read: BoundedRead<TDocument>,
): Promise<BoundedResult<TDocument>> {
  const { filter, sort, limit, maxBytes, bulk, expected } = read
  const size = { $bsonSize: '$$ROOT' }
  const wholeBytes = Math.max(minWholeBytes, Math.floor(maxBytes / (limit + 1)))
  const cursor = collection.aggregate<Sized<TDocument>>(
    [
      { $match: filter },
      { $sort: sort },
      { $limit: limit + 1 },
      { $project: { bytes: size, document: { $cond: [{ $lte: [size, wholeBytes] }, '$$ROOT', withoutField(bulk)] } } },
    ],
    { batchSize: Math.min(expected, limit + 1) + 1 }, // over the limit by one, so that the server closes a cursor that has given all
  )
  const found: Sized<TDocument>[] = []
  let total = 0
  // Leaving the loop closes the cursor: the server has read one batch past the bound at most.
  for await (const one of cursor) {
    found.push(one)
    if ((total += one.bytes) > maxBytes && found.length > 1) break
  }
  const shown = found.slice(0, Math.min(limit, countWithin(found, maxBytes)))
  const large = await readWhole(
    collection,
    shown.filter(({ bytes }) => bytes > wholeBytes),
  )
  return {
    documents: shown.flatMap(({ _id, document, bytes }) => (bytes > wholeBytes ? (large.get(_id) ?? []) : [document])),
    last: shown.at(-1)?.document,
    isMore: found.length > shown.length,
  }
}

interface Sized<TDocument> {
  readonly _id: unknown
  readonly bytes: number
  /** Without its bulk where it is large. */
  readonly document: TDocument
}

function withoutField(field: string): Document {
  return { $unsetField: { field, input: '$$ROOT' } }
}

/** How many of the first documents fit; one at least. */
function countWithin(found: readonly { readonly bytes: number }[], maxBytes: number): number {
  let total = 0
  const over = found.findIndex(({ bytes }, at) => (total += bytes) > maxBytes && at > 0)
  return over === -1 ? found.length : over
}

async function readWhole<TDocument extends Document>(
  collection: Collection<TDocument>,
  large: readonly Sized<TDocument>[],
): Promise<Map<unknown, TDocument>> {
  if (large.length === 0) return new Map()
  const filter = { _id: { $in: large.map(({ _id }) => _id) } } as Filter<TDocument> // ids of this very collection
  const whole = await collection.find(filter).toArray()
  return new Map(whole.map((document) => [document._id, document as TDocument])) // with its id, as it is stored
}

/** Places with large documents that are remembered at once; a list of a forgotten one reads more, once. */
const maxPlaces = 1_000

/** Of a place that no list has told about: more than most pages have, so that these cost one command. */
const expectedAtFirst = 50

/**
 * How many documents fit into a list of each place. The size of a document is known only when the server has read it whole, so a list
 * of a hundred large ones costs a hundred reads although two of them fit. Of the first lists of a place one goes ahead, and the others
 * learn from it.
 */
export function createFittingCounts() {
  const counts = new Map<string, number>()
  const learning = new Map<string, Promise<unknown>>()

  function note(place: string, { documents, isMore }: BoundedResult<unknown>, limit: number): void {
    counts.delete(place)
    if (!isMore || documents.length >= limit) return
    counts.set(place, documents.length)
    const [oldest] = counts.size > maxPlaces ? counts.keys() : []
    if (oldest !== undefined) counts.delete(oldest)
  }

  return {
    /** One list of at most `limit` documents of `place`: `read` receives how many are likely to fit. */
    async read<TDocument>(
      place: string,
      limit: number,
      read: (expected: number) => Promise<BoundedResult<TDocument>>,
    ): Promise<BoundedResult<TDocument>> {
      const readAndNote = async () => {
        const result = await read(counts.get(place) ?? expectedAtFirst)
        note(place, result, limit)
        return result
      }
      const first = counts.has(place) ? undefined : learning.get(place)
      if (first !== undefined) {
        await first.catch(() => {}) // its caller receives the error
        return await readAndNote()
      }
      const reading = readAndNote()
      learning.set(place, reading)
      try {
        return await reading
      } finally {
        if (learning.get(place) === reading) learning.delete(place)
      }
    },
  }
}

export type FittingCounts = ReturnType<typeof createFittingCounts>
