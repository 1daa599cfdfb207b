/** What may be left of a session that was deleted: keys and receipts, and not one word of what was said in it. */
import type { SessionKey } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { expect } from 'vitest'

export function dbOf(database: TestDatabase) {
  return database.client.db(database.databaseName)
}

/** The names of the collections in which a document holds `text`. */
export async function collectionsWith(database: TestDatabase, text: string): Promise<string[]> {
  const db = dbOf(database)
  const names: string[] = []
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    const documents = await db.collection(name).find().toArray()
    if (JSON.stringify(documents).includes(text)) names.push(name)
  }
  return names
}

export interface Receipt {
  readonly action: string
  readonly target: SessionKey | null
  readonly counts: Record<string, number>
}

export async function receiptsOf(database: TestDatabase): Promise<Receipt[]> {
  return await dbOf(database).collection<Receipt>('audit').find().sort({ at: 1 }).toArray()
}

/** The only session there was is a tombstone now, and so is each of its runs; nothing else is left. */
export async function expectTombstones(database: TestDatabase, counts: { runs: number }): Promise<void> {
  const db = dbOf(database)
  const sessions = await db.collection('sessions').find().toArray()
  expect(sessions.map((session) => Object.keys(session).toSorted())).toEqual([['_id', 'deletedAt', 'v']])
  const runs = await db.collection('runs').find().toArray()
  expect(runs).toHaveLength(counts.runs)
  for (const { _id, sweepAt: _sweepAt, ...rest } of runs) expect(rest).toEqual({ status: 'deleted', v: 1 })
  const entries = await db.collection('run_events').find().toArray()
  expect(entries.map((entry) => entry['e'])).toEqual(runs.map(() => []))
  expect(await db.collection('messages').countDocuments()).toBe(0)
  expect(await db.collection('run_archives').countDocuments()).toBe(0)
}
