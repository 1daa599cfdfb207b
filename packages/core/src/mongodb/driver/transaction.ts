import type { ClientSession, MongoClient } from 'mongodb'
import { isDuplicateKey, isLostCommit } from './map-error.ts'

const maxCommitTries = 3

/**
 * How long a transaction may take before the server is told to give it up, in milliseconds. The driver can leave an operation
 * unanswered for ever (see retry.ts), and the server would keep what it has written locked for a minute, against every attempt that
 * follows. Longer than an attempt is waited for, so that one that is only slow may still land.
 */
const maxTransactionMs = 5_000

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
    const overdue = setTimeout(() => giveUp(client, session), maxTransactionMs)
    try {
      const result = await body(session)
      await commit(session)
      return result
    } catch (error) {
      // The first error is the one to report; an abort that fails too leaves the server to time the transaction out.
      if (session.inTransaction()) await session.abortTransaction().catch(() => {})
      throw error
    } finally {
      clearTimeout(overdue)
    }
  })
}

/** Thrown inside a transaction to undo it: what it finds does not allow it. */
export class AbortTransition extends Error {
  override readonly name = 'AbortTransition'
}

/**
 * {@link inTransaction}. Undefined when `body` throws {@link AbortTransition} or meets a key that is taken; the transaction is
 * undone then, and what it met may not be majority-committed.
 */
export async function tryTransition<TResult>(
  client: MongoClient,
  body: (session: ClientSession) => Promise<TResult>,
): Promise<TResult | undefined> {
  try {
    return await inTransaction(client, body)
  } catch (error) {
    if (error instanceof AbortTransition || isDuplicateKey(error)) return undefined
    throw error
  }
}

/**
 * On the server only: a body that still goes on must find its transaction gone. Aborted in the driver, what it writes next would be
 * written without one. A commit that has begun is not undone.
 */
function giveUp(client: MongoClient, session: ClientSession): void {
  const id = session.id
  if (id === undefined) return
  // Whoever waits repeats the transaction anyway; where this fails, the server gives it up by itself, later.
  void client
    .db('admin')
    .command({ killSessions: [id] })
    .catch(() => {})
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
