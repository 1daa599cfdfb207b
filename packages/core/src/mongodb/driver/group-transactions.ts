/**
 * Group commit of transitions: those that wait go into one transaction, which costs about as much as that of one. In: bodies that are
 * independent of each other. Out: to each what it answered, once the transaction is committed. A body knows nothing of the others.
 *
 * A transaction that fails tells nothing of the bodies in it, so each of them is then tried alone, in a transaction of its own. Only after a
 * conflict those that meet at one document anyway are tried together once more: apart they would meet each other. A body that refuses
 * answers so and writes nothing, since one that throws costs all of them the transaction.
 */
import type { MongoClient } from 'mongodb'
import type { CollectedWrites } from './collected-writes.ts'
import { isTransient, isWriteConflict } from './map-error.ts'
import { inTransaction, tryTransition } from './transaction.ts'
import type { TransactionBody } from './transaction.ts'

/** Bodies of one transaction: more gain little, and each waits for all of them. */
const maxBodies = 16
/** A transaction that is to insert more than this takes no further body. */
const maxInsertedBytes = 256 * 1024
/** The next transaction waits for the one before it, so that it takes many bodies; but no longer than this, in milliseconds. */
const maxWaitMs = 50

/** How a transition is tried. */
export interface Attempt {
  /** Aborts when the caller no longer waits: a body that has not begun by then is left out. */
  readonly signal: AbortSignal
  /** True for an attempt that is repeated: what made the one before it fail must not fail those of others too. */
  readonly isAlone: boolean
  /** Bodies of one key may write the same document. */
  readonly key: string
}

interface Waiting {
  readonly body: TransactionBody<unknown>
  readonly key: string
  readonly signal: AbortSignal
  readonly resolve: (result: unknown) => void
  readonly reject: (reason: unknown) => void
}

/** Transitions that may go together. */
export class TransactionGroups {
  readonly #client: MongoClient
  #waiting: Waiting[] = []
  #running = 0

  constructor(client: MongoClient) {
    this.#client = client
  }

  /** {@link tryTransition} for `body`, together with others where that is possible. */
  async try<TResult>(body: TransactionBody<TResult>, { signal, isAlone, key }: Attempt): Promise<TResult | undefined> {
    if (isAlone) return await tryTransition(this.#client, body)
    return await new Promise<TResult | undefined>((resolve, reject) => {
      const settle = resolve as (result: unknown) => void // with what this very body answers
      this.#waiting.push({ body, key, signal, resolve: settle, reject })
      // After this turn of the event loop: those that arrived in one packet go together.
      if (this.#waiting.length === 1) setImmediate(() => this.#begin())
    })
  }

  #begin(): void {
    if (this.#running > 0 || this.#waiting.length === 0) return
    const taken = this.#waiting.splice(0, maxBodies)
    this.#running++
    const leave = once(() => {
      this.#running--
      this.#begin()
    })
    // A database that does not answer must not hold up those that wait.
    const overdue = setTimeout(leave, maxWaitMs)
    void this.#commit(taken.filter(isAwaited)).finally(() => {
      clearTimeout(overdue)
      leave()
    })
  }

  /** Settles each of `taken`; never rejects. */
  async #commit(taken: readonly Waiting[]): Promise<void> {
    if (taken.length < 2) return await this.#commitAlone(taken)
    let begun: readonly Waiting[] = taken
    try {
      const results = await inTransaction(this.#client, async (session, writes) => {
        const answers: unknown[] = []
        for (const one of taken) {
          if (answers.length > 0 && isFull(writes)) break
          answers.push(await one.body(session, writes))
        }
        begun = taken.slice(0, answers.length)
        return answers
      })
      begun.forEach((one, at) => one.resolve(results[at]))
      this.#waiting.unshift(...taken.slice(begun.length))
      this.#begin() // where this transaction was overdue, and no other runs
    } catch (error) {
      const ofOneKey = byKey(taken)
      if (isWriteConflict(error) && ofOneKey.length > 1) await Promise.all(ofOneKey.map((some) => this.#commit(some)))
      // What is in doubt, cannot be reached or has met another process, each caller tries again in its own time.
      else if (isTransient(error)) taken.forEach((one) => one.reject(error))
      else await this.#commitAlone(taken)
    }
  }

  async #commitAlone(taken: readonly Waiting[]): Promise<void> {
    await Promise.all(taken.map(({ body, resolve, reject }) => tryTransition(this.#client, body).then(resolve, reject)))
  }
}

function isAwaited({ signal, reject }: Waiting): boolean {
  if (signal.aborted) reject(signal.reason)
  return !signal.aborted
}

function byKey(taken: readonly Waiting[]): Waiting[][] {
  const groups = new Map<string, Waiting[]>()
  for (const one of taken) groups.set(one.key, [...(groups.get(one.key) ?? []), one])
  return [...groups.values()]
}

function isFull(writes: CollectedWrites): boolean {
  return writes.insertedBytes > maxInsertedBytes
}

function once(call: () => void): () => void {
  let wasCalled = false
  return () => {
    if (wasCalled) return
    wasCalled = true
    call()
  }
}
