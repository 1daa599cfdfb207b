/**
 * One change stream on the run log, as hints for followers of runs that another process writes. Nothing depends on it: no
 * resume token is kept, after any error it is opened anew at "now", and whoever waits also polls.
 */
import type { ChangeStream, Db, Timestamp } from 'mongodb'
import { raceSignal } from '../async/race-signal.ts'
import { sleep } from '../async/sleep.ts'
import type { LogWatcher, RunKey } from '../ports/event-log.ts'

/** Between an error and the next try to open the stream, in milliseconds. */
const reopenDelayMs = 250

/** Only the key travels: the events themselves are read from the log. */
const insertedKeys = [{ $match: { operationType: 'insert' } }, { $project: { documentKey: 1 } }]

interface Inserted {
  readonly documentKey: { readonly _id: { readonly r: RunKey } }
}

/**
 * @param db of a client of its own, with a short server selection: the driver's own resume waits for a dead server as long as
 * that client selects servers (measured: 30 s of silence after a killed primary with the driver's settings).
 */
export function createLogWatcher(db: Db): LogWatcher {
  return {
    async watch(listener, signal) {
      while (!signal.aborted) {
        try {
          await watchFromNow(db, listener, signal)
        } catch {
          // Whatever ended the stream (an election, a lost history, a full buffer): the next one begins at "now".
        }
        await sleep(reopenDelayMs, signal).catch(() => {}) // an abort ends the loop
      }
    },
  }
}

type Listener = Parameters<LogWatcher['watch']>[0]

async function watchFromNow(db: Db, listener: Listener, signal: AbortSignal): Promise<void> {
  const startAtOperationTime = await raceSignal(majorityTime(db), signal)
  const options = startAtOperationTime === undefined ? {} : { startAtOperationTime }
  const stream = db.collection('run_events').watch<Inserted, Inserted>(insertedKeys, options)
  try {
    await listen(stream, listener, signal)
  } finally {
    // Not awaited: closing asks the server to drop the cursor, and a dead one does not answer.
    stream.close().catch(() => {})
  }
}

/**
 * The newest point that majority reads see. A stream from here leaves no hole: what lies before is found by looking at the log, what
 * lies behind comes by the stream. Left to itself it would begin at the newest write, and one that was not majority-committed
 * just then would be found by neither. Undefined behind mongos, which does not tell; the poll covers that.
 */
async function majorityTime(db: Db): Promise<Timestamp | undefined> {
  const hello: Hello = await db.command({ hello: 1 })
  return hello.lastWrite?.majorityOpTime?.ts
}

interface Hello {
  readonly lastWrite?: { readonly majorityOpTime?: { readonly ts: Timestamp } }
}

async function listen(
  stream: ChangeStream<Inserted, Inserted>,
  listener: Listener,
  signal: AbortSignal,
): Promise<void> {
  // The first token comes with the opened stream; what was inserted before is found by looking at the log.
  stream.once('resumeTokenChanged', listener.onGap)
  while (true) {
    const change = await raceSignal(stream.next(), signal)
    listener.onGrowth(change.documentKey._id.r)
  }
}
