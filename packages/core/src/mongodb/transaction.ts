import type { ClientSession, MongoClient } from 'mongodb'
import { isLostCommit } from './map-error.ts'

const maxCommitTries = 3

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
      await commit(session)
      return result
    } catch (error) {
      // The first error is the one to report; an abort that fails too leaves the server to time the transaction out.
      if (session.inTransaction()) await session.abortTransaction().catch(() => {})
      throw error
    }
  })
}

/**
 * A commit whose answer was lost is asked for again, which is safe. Given up instead, one that never reached the server would
 * keep its documents locked for a minute, and hold up the very attempt that follows.
 */
async function commit(session: ClientSession): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await session.commitTransaction()
    } catch (error) {
      if (!isLostCommit(error) || tries === maxCommitTries) throw error
    }
  }
}
