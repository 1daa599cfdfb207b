import type { AnyBulkWriteOperation, Document } from 'mongodb'
import type { TerminalEvent } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ArchiveDocument, Collections, EventsDocument } from '../schema/collections.ts'
import { newer } from '../schema/version.ts'
import { isDuplicateKey, NotCommittedYetError } from '../driver/map-error.ts'
import { readUnion, unionOf } from './read-union.ts'

/**
 * A part is what a follower reads at once, and holds while its reader takes it: most answers are one part, and a reader that
 * does not read costs little. A short entry belongs to the part in which it begins. A longer one that reaches past the end of its
 * part is a part of its own. So a part is one entry, or at most 256 KiB.
 */
const partBytes = 240 * 1024
const shortEntryBytes = 16 * 1024

/**
 * One attempt. The archive is whole before the log is emptied, so a reader that misses an entry finds it there. Two attempts
 * at once make the same parts, because the log of an ended run does not change. The database makes the parts: no event passes
 * through this process, and sealed ones need no key. The runs share the commands.
 */
export async function archiveEvents(
  { runEvents, runArchives }: Collections,
  keys: readonly RunKey[],
  { expiresAt }: { expiresAt: Date },
): Promise<void> {
  await makeParts(runEvents, keys, { expiresAt, into: runArchives.collectionName })
  const [lastEntries, whole] = await Promise.all([readLastEntries(runEvents, keys), findWhole(runArchives, keys)])
  const emptying: AnyBulkWriteOperation<EventsDocument>[] = []
  for (const key of keys) {
    const last = lastEntries.get(key)
    // Deleted meanwhile. The log is stripped before its archive is removed, so a part that came too late is removed here.
    if (last?.isStripped === true) await runArchives.deleteMany(entriesOf(key))
    else if (!whole.has(key)) throw new Error('The log of an ended run has a hole; it is left as it is')
    else if (last !== undefined) {
      // The keys that a zombie runs into stay: the last entry's, and each `run_resumed`, which stands where the process before would go on.
      const filter = { ...entriesOf(key, last.firstSeq), 'e.type': { $ne: 'run_resumed' } }
      emptying.push({ deleteMany: { filter } })
    }
  }
  if (emptying.length > 0) await runEvents.bulkWrite(emptying, { ordered: false })
}

/** A filter for what is stored of a run's events under seqs below `before`. */
export function entriesOf(key: RunKey, before: number = Number.MAX_SAFE_INTEGER) {
  return { _id: { $gt: { r: key, n: 0 }, $lt: { r: key, n: before } } }
}

/** How many events the items of an entry or a part are, see `countOf`. */
const countOfItems = {
  $sum: { $map: { input: '$e', in: { $cond: [{ $eq: ['$$this.type', 'sealed'] }, '$$this.count', 1] } } },
}
const typeOfLastItem = { $arrayElemAt: ['$e.type', -1] }

const terminalTypes: Readonly<Record<TerminalEvent['type'], true>> = {
  run_completed: true,
  run_refused: true,
  run_failed: true,
  run_cancelled: true,
  run_interrupted: true,
}

/** Logs that are whole become parts. Of one that another process has begun to empty, all parts are there. */
async function makeParts(
  runEvents: Collections['runEvents'],
  keys: readonly RunKey[],
  { expiresAt, into }: { expiresAt: Date; into: string },
): Promise<void> {
  const entries = keys.map((key) => [{ $match: { ...entriesOf(key), $nor: [newer] } }])
  const pipeline: Document[] = [
    ...unionOf(runEvents, entries),
    { $project: { e: 1, count: countOfItems, bytes: { $bsonSize: '$$ROOT' } } },
    ...wholeLogs,
    { $set: { part: partOf({ $subtract: ['$end', '$bytes'] }) } },
    { $set: { over: { $cond: [{ $lte: ['$bytes', shortEntryBytes] }, '$part', partOf('$end')] } } },
    { $unwind: '$e' },
    { $group: { _id: { r: '$_id.r', part: '$part', over: '$over' }, n: { $min: '$_id.n' }, e: { $push: '$e' } } },
    { $project: { _id: { r: '$_id.r', n: '$n' }, e: 1, expiresAt: { $literal: expiresAt } } },
    {
      $lookup: {
        from: into,
        localField: '_id',
        foreignField: '_id',
        pipeline: [{ $project: { _id: 1 } }],
        as: 'known',
      },
    },
    { $match: { known: [] } },
    { $project: { known: 0 } },
    // An insert: mongod logs none of its documents. Any other way to merge is an update, which it logs with all that it stores.
    { $merge: { into, on: '_id', whenMatched: 'fail', whenNotMatched: 'insert' } },
  ]
  try {
    await runEvents.aggregate(pipeline).toArray()
  } catch (error) {
    // Another attempt has made the same part meanwhile.
    throw isDuplicateKey(error) ? new NotCommittedYetError() : error
  }
}

function partOf(bytes: unknown) {
  return { $floor: { $divide: [bytes, partBytes] } }
}

/** Entries of logs without a hole, to the run's end, each with the bytes from the log's start to the entry's `end`. */
const wholeLogs: readonly Document[] = [
  {
    $setWindowFields: {
      partitionBy: '$_id.r',
      sortBy: { '_id.n': 1 },
      output: {
        end: { $sum: '$bytes', window: { documents: ['unbounded', 'current'] } },
        type: { $last: typeOfLastItem, window: { documents: ['unbounded', 'unbounded'] } },
        lastN: { $last: '$_id.n', window: { documents: ['unbounded', 'unbounded'] } },
        all: { $sum: '$count', window: { documents: ['unbounded', 'unbounded'] } },
        lastCount: { $last: '$count', window: { documents: ['unbounded', 'unbounded'] } },
      },
    },
  },
  {
    $match: {
      type: { $in: Object.keys(terminalTypes) },
      $expr: { $eq: [{ $add: ['$lastN', '$lastCount', -1] }, '$all'] },
    },
  },
]

interface LastEntry {
  readonly firstSeq: number
  /** The run is deleted, and only the key is kept. */
  readonly isStripped: boolean
}

async function readLastEntries(
  runEvents: Collections['runEvents'],
  keys: readonly RunKey[],
): Promise<Map<RunKey, LastEntry>> {
  const isStripped = { $eq: ['$e', []] }
  const ofLogs = keys.map((key) => [
    { $match: entriesOf(key) },
    { $sort: { _id: -1 } },
    { $limit: 1 },
    { $project: { isStripped } },
  ])
  const found = readUnion<Pick<EventsDocument, '_id'> & { isStripped: boolean }>(runEvents, ofLogs)
  return new Map((await found.toArray()).map(({ _id, isStripped }) => [_id.r, { firstSeq: _id.n, isStripped }]))
}

/** The runs whose parts join on to each other and end with the run. */
async function findWhole(runArchives: Collections['runArchives'], keys: readonly RunKey[]): Promise<Set<RunKey>> {
  const parts = keys.map((key) => [
    { $match: entriesOf(key) },
    { $sort: { _id: 1 } },
    { $project: { count: countOfItems, type: typeOfLastItem } },
  ])
  const nextSeqs = new Map<RunKey, number>()
  const whole = new Set<RunKey>()
  for (const { _id, count, type } of await readUnion<ArchivedPart>(runArchives, parts).toArray()) {
    const joins = _id.n === (nextSeqs.get(_id.r) ?? 1)
    nextSeqs.set(_id.r, joins ? _id.n + count : Number.NaN)
    if (joins && type in terminalTypes) whole.add(_id.r)
    else whole.delete(_id.r)
  }
  return whole
}

interface ArchivedPart extends Pick<ArchiveDocument, '_id'> {
  readonly count: number
  readonly type: string
}
