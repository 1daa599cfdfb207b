/**
 * MongoDB has one `failCommand` a server, and test files that run side by side share a server: the test that sets it holds it alone,
 * or one test would take another's faults away.
 */
import { MongoClient, MongoServerError } from 'mongodb'
import type { Collection, Document } from 'mongodb'
import { inject } from 'vitest'
import { waitOptions } from './follow.ts'

/** Longer than any test may take, so that only a holder that died is passed over, in milliseconds. */
const holdMs = 60_000

interface Holder {
  readonly _id: string
  readonly until: Date
}

export interface FailPoint extends AsyncDisposable {
  /** The next `times` commands that `data` describes fail, or hang; answers how often any did before on this server. */
  set(times: number, data: Document): Promise<number>
  /** Resolves when the commands that fail, or hang, have been `timesEntered` on this server. */
  entered(timesEntered: number): Promise<void>
}

/** Waits until no other test holds it. Disposing of it switches it off. */
export async function holdFailPoint(): Promise<FailPoint> {
  const client = new MongoClient(inject('mongoUri'))
  const holders = client.db('verbatim-test-fail-point').collection<Holder>('holders')
  while (!(await take(holders))) await new Promise((resolve) => setTimeout(resolve, waitOptions.interval))
  const admin = client.db('admin')
  return {
    async set(times, data) {
      const { count } = await admin.command({ configureFailPoint: 'failCommand', mode: { times }, data })
      return Number(count)
    },
    async entered(timesEntered) {
      await admin.command({ waitForFailPoint: 'failCommand', timesEntered, maxTimeMS: waitOptions.timeout })
    },
    async [Symbol.asyncDispose]() {
      await admin.command({ configureFailPoint: 'failCommand', mode: 'off' })
      await holders.deleteOne({ _id: 'failCommand' })
      await client.close()
    },
  }
}

/** False while a test holds it. */
async function take(holders: Collection<Holder>): Promise<boolean> {
  const now = new Date()
  try {
    const until = new Date(now.getTime() + holdMs)
    await holders.updateOne({ _id: 'failCommand', until: { $lt: now } }, { $set: { until } }, { upsert: true })
    return true
  } catch (error) {
    // The key is there, and its holder's time is not over.
    if (error instanceof MongoServerError && error.code === 11_000) return false
    throw error
  }
}
