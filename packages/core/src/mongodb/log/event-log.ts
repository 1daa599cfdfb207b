/**
 * The run log in MongoDB: one document per run and commit, keyed by run and first seq; after the run's end a few archive
 * documents of the same events under the same seqs.
 * In: entries with their seqs. Out: committed batches. Holds P1 (majority before anyone reads) and P2 (the key is the order).
 */
import { errorOf } from '../../contract/errors.ts'
import { batchAfter, lastSeqOf } from '../../contract/event.ts'
import type { EventBatch, RunEvent } from '../../contract/event.ts'
import { isTerminalStatus } from '../../contract/run.ts'
import type { AppendOutcome, EventLog, LogEntry, LogGrowth, LogPosition, RunKey } from '../../ports/event-log.ts'
import { createReadTurns } from './read-turns.ts'
import { archiveEvents, entriesOf } from './archive-events.ts'
import { readUnion } from './read-union.ts'
import { createSharedReads } from './shared-reads.ts'
import { majorityBarrier } from '../schema/read-barrier.ts'
import type { Collections, EventsDocument } from '../schema/collections.ts'
import { isOnlyDuplicates, NotCommittedYetError, writeErrorsOf } from '../driver/map-error.ts'
import type { ContentCipher } from '../schema/content-cipher.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import { countOf } from '../schema/stored-json.ts'
import { requireKnown } from '../schema/version.ts'
import { longAttemptMs, retryRequest, retryUntil, tryOnce } from '../driver/retry.ts'

type LogContext = Pick<MongoContext, 'collections' | 'cipher'>

/** @param appended the log's collection, by the client that writes it */
export function createEventLog(context: LogContext, appended: Events): EventLog {
  const { collections, cipher } = context
  const readInTurn = createReadTurns()
  const shareRead = createSharedReads<EventBatch[]>()
  return {
    keyOf: runKeyOf,
    async append(entries, { signal }) {
      const documents = await Promise.all(entries.map((entry) => toDocument(cipher, entry)))
      return await retryUntil(signal, () => appendOnce(appended, documents))
    },
    read(key, { signal, ...range }) {
      const read = (until?: AbortSignal) => readInTurn(key, () => readBatches(context, key, range), until)
      // That one is to see all that was confirmed before its own call.
      if (range.isLinearizable === true) return read(signal)
      const { after, maxBatches, maxBytes } = range
      return shareRead(JSON.stringify([key, after, maxBatches, maxBytes]), read, signal)
    },
    readNext: (positions) => tryOnce(() => readNext(context, positions)),
    lastSeq: (key, { signal }) => retryRequest(() => lastSeq(context, key), signal),
    archive(keys, options) {
      const attemptMs = longAttemptMs
      return retryUntil(AbortSignal.timeout(attemptMs), () => archiveEvents(collections, keys, options), { attemptMs })
    },
  }
}

type Events = Collections['runEvents']

async function toDocument(cipher: ContentCipher, { owner, ...entry }: LogEntry): Promise<EventsDocument> {
  const writer = await cipher.writerForRun(owner)
  return { _id: { r: entry.key, n: entry.firstSeq }, b: entry.batchId, e: writer.events(entry) }
}

async function appendOnce(runEvents: Events, entries: readonly EventsDocument[]): Promise<AppendOutcome[]> {
  try {
    await runEvents.insertMany([...entries], { ordered: false })
    return entries.map(() => 'stored')
  } catch (error) {
    if (!isOnlyDuplicates(error)) throw error
    const taken = new Set(writeErrorsOf(error).map((one) => one.index))
    return await Promise.all(
      entries.map(async (entry, at) => (taken.has(at) ? await whoseEntry(runEvents, entry) : 'stored')),
    )
  }
}

/** Tells "my earlier attempt landed" from "another writer has this seq". */
async function whoseEntry(runEvents: Events, entry: EventsDocument): Promise<AppendOutcome> {
  const stored = await runEvents.findOne({ _id: entry._id }, { projection: { b: 1 } })
  if (stored === null) throw new NotCommittedYetError()
  return stored.b === entry.b ? 'stored' : 'fenced'
}

interface ReadRange {
  readonly after: number
  readonly maxBatches: number
  readonly maxBytes?: number
  readonly isLinearizable?: boolean
}

async function readBatches(context: LogContext, key: RunKey, range: ReadRange): Promise<EventBatch[]> {
  const { collections } = context
  if (range.isLinearizable === true) await majorityBarrier(collections)
  const found = await findBatches(context, key, range)
  if (found !== undefined) return found
  const run = await collections.runs.findOne({ _id: key }, { projection: { status: 1 } })
  if (run?.status === 'deleted') throw errorOf('SESSION_DELETED')
  if (run === null || !isTerminalStatus(run.status)) return []
  // The run has ended: what a second look does not find is not kept any more, and was not only stored in between.
  const again = await findBatches(context, key, range)
  if (again === undefined) throw errorOf('CURSOR_EXPIRED')
  return again
}

/** Undefined when nothing is where the cursor points: neither what it names nor what comes next. */
async function findBatches(context: LogContext, key: RunKey, range: ReadRange): Promise<EventBatch[] | undefined> {
  const found = await readEntries(context, key, range)
  found.forEach(requireKept)
  const batches = contiguous(found, range.after)
  if (batches.length > 0) return batches
  // The cursor lies inside an entry, or at the end of the log: the entry before tells which.
  const before = await readEntryAt(context, key, range.after)
  if (before !== undefined) requireKept(before)
  const rest = before && batchAfter(before, range.after)
  if (rest !== undefined) return [rest, ...contiguous(found, lastSeqOf(rest))].slice(0, range.maxBatches)
  if (before !== undefined && found.length === 0) return []
  // The log should have it and does not: the archive is written before the log is emptied.
  const archived = await readArchive(context, key, range)
  return archived.length > 0 ? archived : undefined
}

/** An entry without events is what a deleted run leaves. */
function requireKept({ events }: EventBatch): void {
  if (events.length === 0) throw errorOf('SESSION_DELETED')
}

async function readEntries(
  { collections: { runEvents }, cipher }: LogContext,
  key: RunKey,
  { after, maxBatches, maxBytes = Number.POSITIVE_INFINITY }: ReadRange,
): Promise<EventBatch[]> {
  const found = await runEvents
    .find({ _id: { $gt: { r: key, n: after }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } })
    // The server knows the size of what it sends; counted here, it would cost as much again as the reading.
    .project<SizedDocument>({ e: 1, v: 1, bytes: { $bsonSize: '$$ROOT' } })
    .sort({ _id: 1 })
    .limit(maxBatches)
    .toArray()
  let total = 0
  const over = found.findIndex(({ bytes }, at) => (total += bytes) > maxBytes && at > 0)
  return await Promise.all(found.slice(0, over === -1 ? found.length : over).map((entry) => toBatch(cipher, entry)))
}

/** Of a longer entry only the key travels unasked: a process that needs it reads it. */
export const maxUnaskedBytes = 16 * 1024

const maxRunsPerRead = 100
const maxEntriesPerRun = 8

async function readNext({ collections, cipher }: LogContext, positions: readonly LogPosition[]): Promise<LogGrowth[]> {
  const grown: LogGrowth[] = []
  for (let at = 0; at < positions.length; at += maxRunsPerRead) {
    const pipelines = positions.slice(at, at + maxRunsPerRead).map(nextEntries)
    for (const { _id, bytes, entry } of await readUnion<NextEntry>(collections.runEvents, pipelines).toArray())
      grown.push({
        key: _id.r,
        entry: entry && { firstSeq: _id.n, bytes, open: () => toBatch(cipher, entry) },
      })
  }
  return grown
}

interface NextEntry extends Pick<EventsDocument, '_id'> {
  readonly bytes: number
  /** Absent where it is long. */
  readonly entry?: EventsDocument
}

function nextEntries({ key, after }: LogPosition) {
  const bytes = { $bsonSize: '$$ROOT' }
  return [
    { $match: { _id: { $gt: { r: key, n: after }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } } },
    { $sort: { _id: 1 } },
    { $limit: maxEntriesPerRun },
    { $project: { bytes, entry: { $cond: [{ $lte: [bytes, maxUnaskedBytes] }, '$$ROOT', '$$REMOVE'] } } },
  ]
}

interface SizedDocument extends Pick<EventsDocument, '_id' | 'e' | 'v'> {
  readonly bytes: number
}

/** The entry that holds `seq`, or the last one before it. */
async function readEntryAt(
  { collections: { runEvents }, cipher }: LogContext,
  key: RunKey,
  seq: number,
): Promise<EventBatch | undefined> {
  const [before] = await runEvents
    .find({ _id: { $gt: { r: key, n: 0 }, $lte: { r: key, n: seq } } })
    .sort({ _id: -1 })
    .limit(1)
    .toArray()
  return before && (await toBatch(cipher, before))
}

/** The batches that join on to `after` without a hole. */
function contiguous(batches: readonly EventBatch[], after: number): EventBatch[] {
  let seq = after
  const hole = batches.findIndex((batch) => {
    const joins = batch.firstSeq === seq + 1
    seq = lastSeqOf(batch)
    return !joins
  })
  return batches.slice(0, hole === -1 ? batches.length : hole)
}

/** As many events as a commit of a busy run has, so that a follower of an archive gets frames of the usual size. */
const eventsPerBatch = 128

/** A part is no longer than one read, so bytes are not counted again. */
async function readArchive(
  { collections: { runArchives: archives }, cipher }: LogContext,
  key: RunKey,
  { after, maxBatches }: ReadRange,
): Promise<EventBatch[]> {
  const [part] = await archives
    .find({ _id: { $gt: { r: key, n: 0 }, $lte: { r: key, n: after + 1 } } })
    .sort({ _id: -1 })
    .limit(1)
    .toArray()
  if (part === undefined) return []
  const rest = batchAfter(await toBatch(cipher, part), after)
  return rest === undefined ? [] : sliced(rest, maxBatches)
}

function sliced({ firstSeq, events }: EventBatch, maxBatches: number): EventBatch[] {
  const slices: EventBatch[] = []
  for (let at = 0; at < events.length && slices.length < maxBatches; at += eventsPerBatch) {
    const slice: RunEvent[] = events.slice(at, at + eventsPerBatch)
    slices.push({ firstSeq: firstSeq + at, events: slice })
  }
  return slices
}

/** @throws VerbatimError `UNSUPPORTED_VERSION`, `CONTENT_UNREADABLE`, `UNAVAILABLE` */
export async function toBatch(
  cipher: ContentCipher,
  { _id, e, v }: Pick<EventsDocument, '_id' | 'e' | 'v'>,
): Promise<EventBatch> {
  requireKnown({ v })
  return { firstSeq: _id.n, events: await cipher.readEvents(_id.r, e) }
}

/** After its end a run's last entry stays in the log for as long as its archive. */
async function lastSeq({ collections }: LogContext, key: RunKey): Promise<number> {
  await majorityBarrier(collections)
  const [last] = await collections.runEvents.find(entriesOf(key)).sort({ _id: -1 }).limit(1).toArray()
  if (last === undefined) return 0
  if (last.e.length === 0) throw errorOf('SESSION_DELETED')
  return last._id.n + countOf(last.e) - 1
}
