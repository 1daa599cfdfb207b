import type { ClientSession, MongoClient } from 'mongodb'
import { CollectedWrites } from './collected-writes.ts'
import { isDuplicateKey, isLostCommit } from './map-error.ts'

const maxCommitTries = 3

/**
 * How long a transaction may take before the process asks the server to end it, in milliseconds. The driver can wait for an answer
 * for ever (see retry.ts). The server would keep the transaction's locks for a minute, against every later attempt. Longer than one
 * attempt may take, so that a slow one may still land.
 */
const maxTransactionMs = 5_000

/** What a transaction does. What it collects is sent when it has run, before the commit. */
export type TransactionBody<TResult> = (session: ClientSession, writes: CollectedWrites) => Promise<TResult>

/**
 * Runs `body` in one transaction, once. The caller repeats it (see retry.ts): a repeated body must recognise what an earlier attempt
 * has stored whose answer was lost.
 */
export async function inTransaction<TResult>(client: MongoClient, body: TransactionBody<TResult>): Promise<TResult> {
  return await client.withSession(async (session) => {
    session.startTransaction({
      readConcern: { level: 'majority' },
      writeConcern: { w: 'majority' },
      readPreference: 'primary',
    })
    const overdue = setTimeout(() => giveUp(client, session), maxTransactionMs)
    try {
      const writes = new CollectedWrites()
      const result = await body(session, writes)
      if (!(await writes.flush(session))) throw new AbortTransition()
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

/** Thrown inside a transaction to undo it: the stored state does not allow the transition. */
export class AbortTransition extends Error {
  override readonly name = 'AbortTransition'
}

/**
 * {@link inTransaction}. Undefined when `body` throws {@link AbortTransition} or meets a key that is taken; the transaction is
 * undone then, and what it met may not be majority-committed.
 */
export async function tryTransition<TResult>(
  client: MongoClient,
  body: TransactionBody<TResult>,
): Promise<TResult | undefined> {
  try {
    return await inTransaction(client, body)
  } catch (error) {
    if (error instanceof AbortTransition || isDuplicateKey(error)) return undefined
    throw error
  }
}

/**
 * Ends the transaction on the server only: a body that is still running must find it gone. After an abort in the driver its next
 * write would be made without a transaction. A commit that has begun is not undone.
 */
function giveUp(client: MongoClient, session: ClientSession): void {
  const id = session.id
  if (id === undefined) return
  // The caller repeats the transaction anyway. Where this fails, the server ends it by itself, later.
  void client
    .db('admin')
    .command({ killSessions: [id] })
    .catch(() => {})
}

/**
 * Repeats a commit whose answer was lost, which is safe. A commit that never reached the server would otherwise keep its documents
 * locked for a minute, and delay the next attempt.
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
