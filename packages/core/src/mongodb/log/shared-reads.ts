/**
 * Readers of one run at the same place share reads: a crowd that opens a long answer together costs the database, and this process, as
 * much as two readers. All receive the same batches, so what is made of a batch is made once for all of them.
 */
import { raceSignal } from '../../async/race-signal.ts'

interface SharedRead<TResult> {
  readonly reading: Promise<TResult>
  readonly leave: AbortController
  readers: number
}

/**
 * Reads `place`. While a read of it is under way, those that come wait for the next one together: each sees all that was stored before
 * its own call. A read ends early when all of its readers have left.
 */
export type ShareRead<TResult> = (
  place: string,
  read: (signal: AbortSignal) => Promise<TResult>,
  signal: AbortSignal | undefined,
) => Promise<TResult>

export function createSharedReads<TResult>(): ShareRead<TResult> {
  const newest = new Map<string, Promise<unknown>>()
  /** Those that have not begun. */
  const waiting = new Map<string, SharedRead<TResult>>()

  function add(place: string, read: (signal: AbortSignal) => Promise<TResult>): SharedRead<TResult> {
    const leave = new AbortController()
    const begin = async () => {
      waiting.delete(place)
      leave.signal.throwIfAborted()
      return await read(leave.signal)
    }
    const before = newest.get(place)
    const reading = before === undefined ? begin() : before.then(begin)
    const over = reading.then(ignore, ignore).finally(() => newest.get(place) === over && newest.delete(place))
    newest.set(place, over)
    const shared = { reading, leave, readers: 0 }
    if (before !== undefined) waiting.set(place, shared)
    return shared
  }

  return async (place, read, signal) => {
    signal?.throwIfAborted()
    const shared = waiting.get(place) ?? add(place, read)
    shared.readers++
    try {
      return await (signal === undefined ? shared.reading : raceSignal(shared.reading, signal))
    } finally {
      shared.readers--
      if (shared.readers === 0) {
        if (waiting.get(place) === shared) waiting.delete(place) // the next reader does not join a read that has ended
        shared.leave.abort()
      }
    }
  }
}

function ignore(): void {}
