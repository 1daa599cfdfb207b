/**
 * One change stream on the run log: hints for followers of runs that another process writes. Nothing depends on it. It keeps no
 * resume token, opens again at "now" after any error, and its followers also poll.
 */
import type { Db, Timestamp } from 'mongodb'
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import type { LogWatcher, RunKey } from '../../ports/event-log.ts'

/** Between an error and the next try to open the stream, in milliseconds. */
const reopenDelayMs = 250

/** A stream answers at least every second, with or without news. One that is silent for so long is dead, in milliseconds. */
const maxSilenceMs = 5_000

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
          // After any end of the stream (an election, a lost history, a full buffer, silence) the next one begins at "now".
        }
        await sleep(reopenDelayMs, signal).catch(() => {}) // an abort ends the loop
      }
    },
  }
}

type Listener = Parameters<LogWatcher['watch']>[0]

async function watchFromNow(db: Db, listener: Listener, signal: AbortSignal): Promise<void> {
  using silence = createSilence()
  const either = AbortSignal.any([signal, silence.signal])
  const startAtOperationTime = await raceSignal(majorityTime(db), either)
  const options = startAtOperationTime === undefined ? {} : { startAtOperationTime }
  const stream = db.collection('run_events').watch<Inserted, Inserted>(insertedKeys, options)
  stream.on('resumeTokenChanged', silence.broken)
  // The first token comes with the opened stream; a read of the log finds what was inserted before.
  stream.once('resumeTokenChanged', listener.onGap)
  try {
    while (true) {
      const change = await raceSignal(stream.next(), either)
      listener.onGrowth(change.documentKey._id.r)
    }
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
 * The newest point that majority reads see. A stream from here leaves no hole: a read of the log finds what came before, the stream
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
