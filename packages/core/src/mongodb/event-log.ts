/**
 * The run log in MongoDB: one document per run and commit, keyed by run and first seq.
 * In: entries with their seqs. Out: committed batches. Holds P1 (majority before anyone reads) and P2 (the key is the order).
 */
import type { EventBatch } from '../contract/event.ts'
import { batchAfter } from '../contract/event.ts'
import type { AppendOutcome, EventLog, LogEntry, RunKey } from '../ports/event-log.ts'
import type { Collections, EventsDocument } from './collections.ts'
import { isOnlyDuplicates, NotCommittedYetError, writeErrorsOf } from './map-error.ts'
import { runKeyOf } from './owner-keys.ts'
import { retryRequest, retryUntil } from './retry.ts'

export function createEventLog(collections: Collections): EventLog {
  const { runEvents } = collections
  return {
    keyOf: runKeyOf,
    append: (entries, { signal }) => retryUntil(signal, () => appendOnce(runEvents, entries)),
    read: (key, { signal, ...range }) => retryRequest(() => readBatches(runEvents, key, range), signal),
  }
}

type Events = Collections['runEvents']

async function appendOnce(runEvents: Events, entries: readonly LogEntry[]): Promise<AppendOutcome[]> {
  try {
    await runEvents.insertMany(entries.map(toDocument), { ordered: false })
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
async function whoseEntry(runEvents: Events, entry: LogEntry): Promise<AppendOutcome> {
  const stored = await runEvents.findOne({ _id: { r: entry.key, n: entry.firstSeq } }, { projection: { b: 1 } })
  if (stored === null) throw new NotCommittedYetError()
  return stored.b === entry.batchId ? 'stored' : 'fenced'
}

function toDocument(entry: LogEntry): EventsDocument {
  return { _id: { r: entry.key, n: entry.firstSeq }, b: entry.batchId, e: [...entry.events] }
}

async function readBatches(
  runEvents: Events,
  key: RunKey,
  range: { after: number; maxBatches: number },
): Promise<EventBatch[]> {
  const found = await runEvents
    .find({ _id: { $gt: { r: key, n: range.after }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } })
    .sort({ _id: 1 })
    .limit(range.maxBatches)
    .toArray()
  const batches = found.map(toBatch)
  if (batches[0]?.firstSeq === range.after + 1) return batches
  // The cursor lies inside an entry, or at the end of the log: the entry before tells which.
  const rest = await readRest(runEvents, key, range.after)
  return rest === undefined ? batches : [rest, ...batches]
}

/** The part past `after` of the entry that holds `after`. */
async function readRest(runEvents: Events, key: RunKey, after: number): Promise<EventBatch | undefined> {
  const [before] = await runEvents
    .find({ _id: { $gt: { r: key, n: 0 }, $lte: { r: key, n: after } } })
    .sort({ _id: -1 })
    .limit(1)
    .toArray()
  return before === undefined ? undefined : batchAfter(toBatch(before), after)
}

function toBatch(document: EventsDocument): EventBatch {
  return { firstSeq: document._id.n, events: document.e }
}
