/**
 * Change streams as hints: one on the run log for followers of runs that another process writes, and one on the sessions for their
 * followers. Nothing depends on them. They keep no resume token, open again at "now" after any error, and followers also poll.
 * A stream brings what is majority-committed only (P1). An entry of the log travels whole, so that its followers need not read it.
 */
import type { Db, Document, Timestamp } from 'mongodb'
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { ownerOf } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { LogListener, LogWatcher } from '../../ports/event-log.ts'
import type { SessionListener, SessionWatcher } from '../../ports/session-states.ts'
import type { EventsDocument } from '../schema/collections.ts'
import type { ContentCipher } from '../schema/content-cipher.ts'
import { principalKeyOf } from '../schema/owner-keys.ts'
import { isUnsupportedStream } from '../driver/map-error.ts'
import { maxUnaskedBytes, toBatch } from './event-log.ts'

/** Between an error and the next try to open the stream, in milliseconds. */
const reopenDelayMs = 250

/** A stream answers at least every second, with or without news. One that is silent for so long is dead, in milliseconds. */
const maxSilenceMs = 5_000

const entryBytes = { $bsonSize: '$fullDocument' }
const insertedEntries = [
  { $match: { operationType: 'insert' } },
  {
    $project: {
      documentKey: 1,
      bytes: entryBytes,
      fullDocument: { $cond: [{ $lte: [entryBytes, maxUnaskedBytes] }, '$fullDocument', '$$REMOVE'] },
    },
  },
]

interface Inserted {
  readonly documentKey: Pick<EventsDocument, '_id'>
  readonly bytes: number
  /** Absent where it is long. */
  readonly fullDocument?: EventsDocument
}

/**
 * @param db of a client of its own, with a short server selection: the driver's own resume waits for a dead server as long as
 * that client selects servers (measured: 30 s of silence after a killed primary with the driver's settings).
 */
export function createLogWatcher(db: Db, cipher: ContentCipher): LogWatcher {
  return {
    watch: async (listener, signal) => {
      const onChange = ({ documentKey, bytes, fullDocument }: Inserted) => {
        const { r: key, n: firstSeq } = documentKey._id
        const entry = fullDocument && { firstSeq, bytes, open: () => toBatch(cipher, fullDocument) }
        return listener.onGrowth(key, entry)
      }
      const watch = { collection: 'run_events', pipeline: insertedEntries, onChange, listener }
      await keepWatching<Inserted>(db, watch, signal)
    },
  }
}

/** The owner travels with a new session only: a change of a stored one names its key alone. */
const changedKeys = [
  { $match: { operationType: { $in: ['insert', 'update', 'replace', 'delete'] } } },
  { $project: { documentKey: 1, 'fullDocument.tenantId': 1, 'fullDocument.ownerId': 1 } },
]

interface ChangedSession {
  readonly documentKey: { readonly _id: SessionKey }
  readonly fullDocument?: { readonly tenantId?: string; readonly ownerId?: string }
}

/** @param db as of {@link createLogWatcher} */
export function createSessionWatcher(db: Db): SessionWatcher {
  return {
    watch: async (listener, signal) => {
      const onChange = ({ documentKey, fullDocument: { tenantId, ownerId } = {} }: ChangedSession) => {
        const isOwned = tenantId !== undefined && ownerId !== undefined
        const owner = isOwned ? ownerOf({ tenantId, userId: ownerId, scopes: [] }) : undefined
        listener.onChange(documentKey._id, owner && principalKeyOf(owner))
      }
      await keepWatching<ChangedSession>(
        db,
        { collection: 'sessions', pipeline: changedKeys, onChange, listener },
        signal,
      )
    },
  }
}

interface Watch<TChange> {
  readonly collection: string
  readonly pipeline: Document[]
  /** The next change waits for what it returns. */
  readonly onChange: (change: TChange) => Promise<void> | void
  readonly listener: Pick<LogListener & SessionListener, 'onGap' | 'onUnsupported'>
}

/** Tells whether the database gives this user both change streams. @throws what the driver throws when it cannot be reached */
export async function hasChangeStreams(db: Db): Promise<boolean> {
  const options = { maxAwaitTimeMS: 1 } // a change is not waited for
  const watches = [
    db.collection('run_events').watch(insertedEntries, options),
    db.collection('sessions').watch(changedKeys, options),
  ]
  try {
    await Promise.all(watches.map(async (stream) => void (await stream.tryNext())))
    return true
  } catch (error) {
    if (isUnsupportedStream(error)) return false
    throw error
  } finally {
    await Promise.all(watches.map(async (stream) => await stream.close()))
  }
}

async function keepWatching<TChange extends Document>(db: Db, watch: Watch<TChange>, signal: AbortSignal) {
  while (!signal.aborted) {
    try {
      await watchFromNow(db, watch, signal)
    } catch (error) {
      if (isUnsupportedStream(error)) return watch.listener.onUnsupported(error.message)
      // After any end of the stream (an election, a lost history, a full buffer, silence) the next one begins at "now".
    }
    await sleep(reopenDelayMs, signal).catch(() => {}) // an abort ends the loop
  }
}

async function watchFromNow<TChange extends Document>(
  db: Db,
  { collection, pipeline, onChange, listener }: Watch<TChange>,
  signal: AbortSignal,
): Promise<void> {
  using silence = createSilence()
  const either = AbortSignal.any([signal, silence.signal])
  const startAtOperationTime = await raceSignal(majorityTime(db), either)
  const options = startAtOperationTime === undefined ? {} : { startAtOperationTime }
  const stream = db.collection(collection).watch<TChange, TChange>(pipeline, options)
  stream.on('resumeTokenChanged', silence.broken)
  // The first token comes with the opened stream; a read finds what was stored before.
  stream.once('resumeTokenChanged', () => listener.onGap())
  // What one answer brings is taken at once: it waits for no network, so one race with the signal covers all of it.
  const takeAnswer = async () => {
    await onChange(await stream.next())
    while (stream.bufferedCount() > 0 && !either.aborted) {
      const change = await stream.tryNext()
      if (change !== null) await onChange(change)
    }
  }
  try {
    while (true) await raceSignal(takeAnswer(), either)
  } finally {
    // Not awaited: closing asks the server to drop the cursor, and a dead one does not answer.
    stream.close().catch(() => {})
  }
}

/** Aborts its signal after a long silence: the driver can wait for an answer for ever. */
function createSilence() {
  const tooLong = new AbortController()
  const timer = setTimeout(() => tooLong.abort(new Error('The change stream was silent for too long')), maxSilenceMs)
  return {
    signal: tooLong.signal,
    broken: () => void timer.refresh(),
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}

/**
 * The newest point that majority reads see. A stream from here leaves no hole: a read finds what came before, the stream
 * brings what comes after. By default a stream begins at the newest write; neither would find a write that is not
 * majority-committed at that moment. Undefined with mongos, which does not tell; the poll covers that.
 */
async function majorityTime(db: Db): Promise<Timestamp | undefined> {
  const hello: Hello = await db.command({ hello: 1 })
  return hello.lastWrite?.majorityOpTime?.ts
}

interface Hello {
  readonly lastWrite?: { readonly majorityOpTime?: { readonly ts: Timestamp } }
}
