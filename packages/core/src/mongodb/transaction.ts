import type { ClientSession, MongoClient } from 'mongodb'

/**
 * Runs `body` in one transaction, once. Whoever calls repeats it (see retry.ts): a repeated body must recognise what an
 * earlier attempt with a lost answer has stored.
 */
export async function inTransaction<TResult>(
  client: MongoClient,
  body: (session: ClientSession) => Promise<TResult>,
): Promise<TResult> {
  return await client.withSession(async (session) => {
    session.startTransaction({
      readConcern: { level: 'majority' },
      writeConcern: { w: 'majority' },
      readPreference: 'primary',
    })
    try {
      const result = await body(session)
      await session.commitTransaction()
      return result
    } catch (error) {
      // The first error is the one to report; an abort that fails too leaves the server to time the transaction out.
      if (session.inTransaction()) await session.abortTransaction().catch(() => {})
      throw error
    }
  })
}
