import type { Document } from 'mongodb'
import { isTerminalEvent } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ArchiveDocument, Collections } from '../schema/collections.ts'
import { isSealed } from '../schema/stored-json.ts'
import { newer } from '../schema/version.ts'

/**
 * A part is what a follower reads at once, and holds while its reader takes it: most answers are one part, and a reader that
 * does not read costs little. The last entry of a part may reach past this.
 */
const maxPartBytes = 192 * 1024

/**
 * One attempt. The archive is whole before the log is emptied, so a reader that misses an entry finds it there. Two attempts
 * at once make the same parts, because the log of an ended run does not change. The database makes the parts: no event passes through
 * this process, and sealed ones need no key.
 */
export async function archiveEvents(
  { runEvents, runArchives }: Collections,
  key: RunKey,
  { expiresAt }: { expiresAt: Date },
): Promise<void> {
  const ofRun = entriesOf(key)
  const makeParts = partsOf(key, { expiresAt, into: runArchives.collectionName })
  await runEvents.aggregate([{ $match: { ...ofRun, $nor: [newer] } }, ...makeParts]).toArray()
  const newest = { sort: { _id: -1 }, projection: { e: { $slice: -1 } } } as const
  const lastEntry = await runEvents.findOne(ofRun, newest)
  // Deleted meanwhile. The log is stripped before its archive is removed, so a part that came too late is removed here.
  if (lastEntry?.e.length === 0) return void (await runArchives.deleteMany(ofRun))
  const lastPart = await runArchives.findOne(ofRun, newest)
  if (!endsTerminal(lastPart)) throw new Error('The log of an ended run has a hole; it is left as it is')
  if (lastEntry === null) return
  // The keys that a zombie runs into stay: the last entry's, and each `run_resumed`, which stands where the process before would go on.
  await runEvents.deleteMany({ ...entriesOf(key, lastEntry._id.n), 'e.type': { $ne: 'run_resumed' } })
}

/** A filter for what is stored of a run's events under seqs below `before`. */
export function entriesOf(key: RunKey, before: number = Number.MAX_SAFE_INTEGER) {
  return { _id: { $gt: { r: key, n: 0 }, $lt: { r: key, n: before } } }
}

/** Entries of a log become parts of its archive. What does not join on is left out: another process has begun to empty the log. */
function partsOf(key: RunKey, { expiresAt, into }: { expiresAt: Date; into: string }): Document[] {
  const untilHere = { documents: ['unbounded', 'current'] }
  const count = { $sum: { $map: { input: '$e', in: { $cond: [isSealedItem, '$$this.count', 1] } } } }
  return [
    { $project: { e: 1, count, bytes: { $bsonSize: '$$ROOT' } } },
    {
      $setWindowFields: {
        sortBy: { '_id.n': 1 },
        output: { last: { $sum: '$count', window: untilHere }, end: { $sum: '$bytes', window: untilHere } },
      },
    },
    { $match: { $expr: { $eq: [{ $add: ['$_id.n', '$count', -1] }, '$last'] } } },
    { $set: { part: { $floor: { $divide: [{ $subtract: ['$end', '$bytes'] }, maxPartBytes] } } } },
    { $unwind: '$e' },
    { $group: { _id: '$part', n: { $min: '$_id.n' }, e: { $push: '$e' } } },
    { $project: { _id: { r: { $literal: key }, n: '$n' }, e: 1, expiresAt: { $literal: expiresAt } } },
    { $merge: { into, on: '_id', whenMatched: 'keepExisting', whenNotMatched: 'insert' } },
  ]
}

const isSealedItem = { $eq: ['$$this.type', 'sealed'] }

function endsTerminal(part: Pick<ArchiveDocument, 'e'> | null): boolean {
  const last = part?.e.at(-1)
  return last !== undefined && !isSealed(last) && isTerminalEvent(last)
}
