/** What MongoDB holds of a plan's sessions, all as of one point in time, read past our own code. */
import type { Document } from 'mongodb'
import type { World } from '../world/world.ts'

export interface StoredRun {
  readonly key: string
  readonly run: Document
  /** Event `i` has the seq `i + 1`, up to the first hole. */
  readonly events: readonly string[]
  /** What the log and the archive together lack, or contradict one another in; undefined when they are whole. */
  readonly hole: string | undefined
}

export interface StoredSession {
  readonly session: Document
  /** By seq. */
  readonly messages: readonly Document[]
}

export interface Stored {
  readonly sessions: ReadonlyMap<string, StoredSession>
  readonly runs: ReadonlyMap<string, StoredRun>
}

/** Waits until no run of these sessions is running or waits for its turn; false when that does not happen within `withinMs`. */
export async function waitUntilEnded(world: World, sessionIds: readonly string[], withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  const runs = world.db.collection('runs')
  const unended = { sessionId: { $in: [...sessionIds] }, status: { $in: ['running', 'queued'] } }
  while ((await runs.countDocuments(unended)) > 0) {
    if (performance.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return true
}

export async function readStorage(world: World, sessionIds: readonly string[]): Promise<Stored> {
  return await world.mongo.client.withSession({ snapshot: true }, async (session) => {
    const ids = { $in: [...sessionIds] }
    const find = async (name: string, filter: Document, sort: Record<string, 1> = { _id: 1 }) =>
      await world.db.collection(name).find(filter, { session }).sort(sort).toArray()
    const [sessions, messages, runs] = [
      await find('sessions', { id: ids }),
      await find('messages', { sessionId: ids }, { seq: 1 }),
      await find('runs', { sessionId: ids }),
    ]
    const stored = new Map<string, StoredRun>()
    for (const run of runs) {
      const key = String(run['_id'])
      const ofRun = { _id: { $gt: { r: key, n: 0 }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } }
      const entries = [...(await find('run_archives', ofRun)), ...(await find('run_events', ofRun))]
      stored.set(String(run['id']), { key, run, ...joinEntries(entries) })
    }
    const bySession = sessions.map((document): [string, StoredSession] => [
      String(document['id']),
      { session: document, messages: messages.filter((message) => message['sessionId'] === document['id']) },
    ])
    return { sessions: new Map(bySession), runs: stored }
  })
}

/** Archive and log may overlap in the last entry, which then must say the same. */
function joinEntries(entries: readonly Document[]): Pick<StoredRun, 'events' | 'hole'> {
  const events: string[] = []
  for (const entry of entries) {
    const { n } = (entry as unknown as { _id: { n: number } })._id
    const found = ((entry['e'] ?? []) as unknown[]).map((event) => JSON.stringify(event))
    if (n > events.length + 1)
      return { events, hole: `${events.length + 1} to ${n - 1} are missing; the entries are ${outlineOf(entries)}` }
    for (const [at, text] of found.entries()) {
      const known = events[n + at - 1]
      if (known === undefined) events.push(text)
      else if (known !== text)
        return { events, hole: `two entries hold ${n + at}; the entries are ${outlineOf(entries)}` }
    }
  }
  return { events, hole: undefined }
}

function outlineOf(entries: readonly Document[]): string {
  return entries
    .map((entry) => `${(entry as unknown as { _id: { n: number } })._id.n}+${(entry['e'] as unknown[]).length}`)
    .join(' ')
}
