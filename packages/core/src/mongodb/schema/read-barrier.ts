import type { ClientSession, MongoClient, Timestamp } from 'mongodb'
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

/**
 * Calls `find` with a session whose majority reads see all that the primary has when it is asked, and so everything that was
 * confirmed before: the read waits until a majority has the primary's newest operation. Unlike {@link majorityBarrier} it asks for no
 * write, and so it takes a primary at its word that has just lost its office (decision 19).
 */
export async function readCaughtUp<TFound>(
  { client, collections }: { client: MongoClient; collections: Pick<Collections, 'runs'> },
  find: (session: ClientSession) => Promise<TFound>,
): Promise<TFound> {
  const newest = await newestOperation(client)
  // A router does not tell.
  if (newest === undefined) await majorityBarrier(collections)
  return await client.withSession({ causalConsistency: true }, async (session) => {
    if (newest !== undefined) session.advanceOperationTime(newest)
    return await find(session)
  })
}

async function newestOperation(client: MongoClient): Promise<Timestamp | undefined> {
  const hello: Hello = await client.db('admin').command({ hello: 1 }, { readPreference: 'primary' })
  return hello.lastWrite?.opTime?.ts
}

/** The used part of the answer to `hello`. */
interface Hello {
  readonly lastWrite?: { readonly opTime?: { readonly ts: Timestamp } }
}
