import type { Collections } from './collections.ts'

/**
 * Resolves when majority reads see every write that was confirmed before the call. Directly after an election they may not: the new
 * primary has all of it, but does not know yet how much a majority has, and answers with less (read concern "majority" is not
 * linearizable: MongoDB manual, "Read Concern"; seen as a run that did not find its own prompt).
 *
 * The update matches nothing. MongoDB confirms it like any write, when a majority has the newest operation.
 */
export async function majorityBarrier({ runs }: Pick<Collections, 'runs'>): Promise<void> {
  await runs.updateOne({ _id: { $in: [] } }, { $set: { v: 1 } })
}

/** What `find` answers; an empty answer is asked again after {@link majorityBarrier}. So nothing that a caller has seen is missing. */
export async function findLinearizable<TFound>(
  collections: Pick<Collections, 'runs'>,
  find: () => Promise<TFound | null>,
): Promise<TFound | null> {
  const found = await find()
  if (found !== null) return found
  await majorityBarrier(collections)
  return await find()
}
