import type { Collections } from './collections.ts'

/**
 * Resolves when majority reads see everything that was confirmed to anybody before the call. Right behind an election they do not by
 * themselves: the new primary has it all, but learns only then how much of it a majority has, and answers with less until it does
 * (read concern "majority" is not linearizable: MongoDB manual, "Read Concern"; seen as a run that did not find its own prompt).
 *
 * The update matches nothing. A write that changes nothing is confirmed like any other, when a majority has the newest operation.
 */
export async function majorityBarrier({ runs }: Pick<Collections, 'runs'>): Promise<void> {
  await runs.updateOne({ _id: { $in: [] } }, { $set: { v: 1 } })
}

/** What `find` answers, asked again behind {@link majorityBarrier} when it is nothing: nobody is told that a thing is missing that he was shown. */
export async function findLinearizable<TFound>(
  collections: Pick<Collections, 'runs'>,
  find: () => Promise<TFound | null>,
): Promise<TFound | null> {
  const found = await find()
  if (found !== null) return found
  await majorityBarrier(collections)
  return await find()
}
