/** What MongoDB holds of a plan's sessions at one point in time, read without the engine's code. */
import type { Document } from 'mongodb'
import type { World } from '../world/world.ts'

export interface StoredRun {
  readonly key: string
  readonly run: Document
  /** Event `i` has the seq `i + 1`, up to the first hole. */
  readonly events: readonly string[]
  /** What log and archive lack or contradict one another in; undefined when they are whole. */
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

/** Waits until no run of these sessions is running or queued; false when that does not happen within `withinMs`. */
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
      { session: document, messages: messages.filter(({ sessionId }) => sessionId === document['id']).map(decode) },
    ])
    return { sessions: new Map(bySession), runs: stored }
  })
}

/** Archive and log may both hold the last entry, which then must be the same. */
function joinEntries(entries: readonly Document[]): Pick<StoredRun, 'events' | 'hole'> {
  const events: string[] = []
  const outline = () =>
    entries
      .map(partsOf)
      .map(({ n, e }) => `${n}+${e.length}`)
      .join(' ')
  for (const entry of entries) {
    const { n, e } = partsOf(entry)
    if (n > events.length + 1)
      return { events, hole: `${events.length + 1} to ${n - 1} are missing; the entries are ${outline()}` }
    for (const [at, event] of e.entries()) {
      const text = textOf(framed(event))
      const known = (events[n + at - 1] ??= text)
      if (known !== text) return { events, hole: `two entries hold ${n + at}; the entries are ${outline()}` }
    }
  }
  return { events, hole: undefined }
}

function partsOf(entry: Document): { readonly n: number; readonly e: readonly unknown[] } {
  return { n: (entry['_id'] as { n: number }).n, e: (entry['e'] ?? []) as unknown[] }
}

/** A delta that is stored without its frame, in its frame. */
function framed(event: unknown): unknown {
  if (typeof event !== 'object' || event === null || 'type' in event) return event
  const { i: index = 0, ...delta } = event as ShortDelta
  return { type: 'content_block_delta', index, delta: { type: deltaTypes[Object.keys(delta)[0] ?? ''], ...delta } }
}

interface ShortDelta {
  readonly i?: number
}

const deltaTypes: Readonly<Record<string, string>> = {
  text: 'text_delta',
  thinking: 'thinking_delta',
  partial_json: 'input_json_delta',
}

/** A tool's input and emitted data are stored as their JSON text. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => {
    return key === 'input' && typeof part === 'string'
      ? parse(part)
      : isData(part)
        ? { ...part, data: parse(part.data) }
        : part
  })
}

function isData(part: unknown): part is { readonly type: 'data'; readonly data: string } {
  if (typeof part !== 'object' || part === null || !('type' in part) || part.type !== 'data') return false
  return 'data' in part && typeof part.data === 'string'
}

function parse(text: string): unknown {
  return JSON.parse(text)
}

function decode(message: Document): Document {
  const { content, data, input } = message as { content: unknown; data?: string; input?: string }
  return {
    ...message,
    content: parse(textOf(content)),
    data: parse(data ?? '[]'),
    ...(input === undefined ? {} : { input: parse(input) }),
  }
}
