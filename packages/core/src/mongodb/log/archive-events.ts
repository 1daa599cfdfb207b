import type { AnyBulkWriteOperation } from 'mongodb'
import { isTerminalEvent } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ArchiveDocument, Collections, EventsDocument } from '../schema/collections.ts'
import { countOf, isSealed } from '../schema/stored-json.ts'
import type { StoredItem } from '../schema/stored-json.ts'
import { requireKnown } from '../schema/version.ts'
import { isOnlyDuplicates } from '../driver/map-error.ts'
import { readUnion } from './read-union.ts'

/**
 * A part is what a follower reads at once, and holds while its reader takes it: most answers are one part, and a reader that
 * does not read costs little. A batch that is longer is a part of its own.
 */
const maxPartBytes = 256 * 1024

/** The logs that were read are archived when they have so many bytes, before more of the group is read. */
const maxHeldBytes = 2 * 1024 * 1024

/** In one answer of the database. */
const maxEntriesPerAnswer = 1_000

/** The log of an ended run, as far as it was read. */
interface ReadLog {
  readonly key: RunKey
  readonly parts: ArchiveDocument[]
  nextSeq: number
  /** Of the last part. */
  partBytes: number
  /** An entry did not join on: another process has begun to empty the log. */
  hasHole: boolean
}

/**
 * One attempt. The archive is whole before the log is emptied, so a reader that misses an entry finds it there. Two attempts
 * at once make the same parts, because the log of an ended run does not change. Sealed events move as they are: no key is needed.
 * The runs share the commands, which cost the process more than the events of a short answer.
 */
export async function archiveEvents(
  collections: Collections,
  keys: readonly RunKey[],
  { expiresAt }: { expiresAt: Date },
): Promise<void> {
  const unread = new Set(keys)
  const held = new Map<RunKey, ReadLog>()
  let heldBytes = 0
  const entries = keys.map((key) => [{ $match: entriesOf(key) }, { $sort: { _id: 1 } }])
  const batchSize = maxEntriesPerAnswer
  for await (const entry of readUnion<EventsDocument>(collections.runEvents, entries, { batchSize })) {
    requireKnown(entry)
    const key = entry._id.r
    if (unread.delete(key)) {
      if (heldBytes > maxHeldBytes) {
        await archiveLogs(collections, [...held.values()])
        held.clear()
        heldBytes = 0
      }
      held.set(key, newLog(key))
    }
    const log = held.get(key)
    if (log !== undefined) heldBytes += addEntry(log, entry, expiresAt)
  }
  await archiveLogs(collections, [...held.values(), ...[...unread].map(newLog)])
}

async function archiveLogs({ runEvents, runArchives }: Collections, logs: readonly ReadLog[]): Promise<void> {
  const whole = logs.filter((log) => !log.hasHole && endsTerminal(log.parts.at(-1)))
  const areNew = await insertParts(
    runArchives,
    whole.flatMap((log) => log.parts),
  )
  const checked = new Set(areNew ? whole : [])
  const lastEntries = await readLastEntries(runEvents, logs)
  const emptying: AnyBulkWriteOperation<EventsDocument>[] = []
  for (const log of logs) {
    const last = lastEntries.get(log.key)
    if (last?.isStripped === true) {
      // Deleted meanwhile. The log is stripped before its archive is removed, so a part that came too late is removed here.
      await runArchives.deleteMany(entriesOf(log.key))
      continue
    }
    if (!checked.has(log)) await requireWholeArchive(runArchives, log.key)
    if (last === undefined) continue
    // The keys that a zombie runs into stay: the last entry's, and each `run_resumed`, which stands where the process before would go on.
    const filter = { ...entriesOf(log.key, last.firstSeq), 'e.type': { $ne: 'run_resumed' } }
    emptying.push({ deleteMany: { filter } })
  }
  if (emptying.length > 0) await runEvents.bulkWrite(emptying, { ordered: false })
}

/** A filter for what is stored of a run's events under seqs below `before`. */
export function entriesOf(key: RunKey, before: number = Number.MAX_SAFE_INTEGER) {
  return { _id: { $gt: { r: key, n: 0 }, $lt: { r: key, n: before } } }
}

function newLog(key: RunKey): ReadLog {
  return { key, parts: [], nextSeq: 1, partBytes: 0, hasHole: false }
}

/** Adds an entry to the last part, or to a new one when it is full. Answers about how many bytes were added. */
function addEntry(log: ReadLog, { _id, e: items }: EventsDocument, expiresAt: Date): number {
  log.hasHole ||= _id.n !== log.nextSeq
  if (log.hasHole) return 0
  const added = items.reduce((sum, item) => sum + sizeOf(item), 0)
  if (log.parts.length === 0 || log.partBytes + added > maxPartBytes) {
    log.parts.push({ _id: { r: log.key, n: _id.n }, e: [], expiresAt })
    log.partBytes = 0
  }
  log.parts.at(-1)?.e.push(...items)
  log.partBytes += added
  log.nextSeq += countOf(items)
  return added
}

function sizeOf(item: StoredItem): number {
  if (!isSealed(item)) return JSON.stringify(item).length
  return item.data instanceof Uint8Array ? item.data.byteLength : item.data.length()
}

function endsTerminal(part: ArchiveDocument | undefined): boolean {
  const last = part?.e.at(-1)
  return last !== undefined && !isSealed(last) && isTerminalEvent(last)
}

/** Answers whether there was none of them yet. */
async function insertParts(
  runArchives: Collections['runArchives'],
  parts: readonly ArchiveDocument[],
): Promise<boolean> {
  if (parts.length === 0) return true
  try {
    await runArchives.insertMany([...parts], { ordered: false })
    return true
  } catch (error) {
    if (!isOnlyDuplicates(error)) throw error
    return false
  }
}

interface LastEntry {
  readonly firstSeq: number
  /** The run is deleted, and only the key is kept. */
  readonly isStripped: boolean
}

async function readLastEntries(
  runEvents: Collections['runEvents'],
  logs: readonly ReadLog[],
): Promise<Map<RunKey, LastEntry>> {
  const isStripped = { $eq: ['$e', []] }
  const ofLogs = logs.map(({ key }) => [
    { $match: entriesOf(key) },
    { $sort: { _id: -1 } },
    { $limit: 1 },
    { $project: { isStripped } },
  ])
  const found = readUnion<Pick<EventsDocument, '_id'> & { isStripped: boolean }>(runEvents, ofLogs)
  return new Map((await found.toArray()).map(({ _id, isStripped }) => [_id.r, { firstSeq: _id.n, isStripped }]))
}

/** For a log that was not read whole, or whose archive was there before: another attempt has made it, or died before it had. */
async function requireWholeArchive(runArchives: Collections['runArchives'], key: RunKey): Promise<void> {
  const [lastPart] = await runArchives.find(entriesOf(key)).sort({ _id: -1 }).limit(1).toArray()
  if (!endsTerminal(lastPart)) throw new Error('The log of an ended run has a hole; it is left as it is')
}
