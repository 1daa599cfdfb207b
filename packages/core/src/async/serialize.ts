import { raceSignal } from './race-signal.ts'

/** Runs the tasks of one key one after another, in the order they came. Keys do not wait for each other. */
export type Serialize<TKey> = <TResult>(
  key: TKey,
  task: () => Promise<TResult>,
  signal: AbortSignal,
) => Promise<TResult>

/** Holds only the keys that are in use. A task whose `signal` has aborted does not begin, and the next task does not wait for it. */
export function createSerializer<TKey>(): Serialize<TKey> {
  const lasts = new Map<TKey, Promise<void>>()
  return async (key, task, signal) => {
    const begin = async () => {
      signal.throwIfAborted()
      return await raceSignal(task(), signal)
    }
    const mine = (lasts.get(key) ?? Promise.resolve()).then(begin)
    const last = mine.then(ignore, ignore).then(() => {
      if (lasts.get(key) === last) lasts.delete(key)
    })
    lasts.set(key, last)
    return await mine
  }
}

function ignore(): void {}
