/**
 * Tells whether runs are stored. All follows of a process ask together: one read answers for as many as ask at the same time, so
 * that follows of runs that do not exist cost the database next to nothing, however many there are.
 */
import { raceSignal } from '../../async/race-signal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { RunRepository } from '../../ports/run-repository.ts'

export interface AwaitedOptions {
  readonly runRepository: Pick<RunRepository, 'findStored'>
  /** Between two looks for the runs that are awaited, in milliseconds. */
  readonly pollMs: number
  /** Called when an awaited run is stored. */
  readonly onStored: (key: RunKey) => void
}

/** So many keys are in one read. */
const maxKeysPerRead = 1_000

/** The next read waits for the one before it, so that it answers for many; but no longer than this, in milliseconds. */
const maxCollectMs = 250

export class AwaitedRuns {
  readonly #options: AwaitedOptions
  /** How many follows wait for each run. */
  readonly #awaited = new Map<RunKey, number>()
  readonly #isStored: (key: RunKey) => Promise<boolean>
  readonly #isStoredSurely: (key: RunKey) => Promise<boolean>
  #isLooking = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: AwaitedOptions) {
    this.#options = options
    const { runRepository } = options
    this.#isStored = askTogether((keys) => runRepository.findStored(keys))
    this.#isStoredSurely = askTogether((keys) => runRepository.findStored(keys, { isCaughtUp: true }))
  }

  /**
   * @param isCaughtUp true when "no" is final: after an election the first read may not see a run yet
   * @throws VerbatimError `UNAVAILABLE`
   */
  isStored(key: RunKey, { isCaughtUp = false } = {}): Promise<boolean> {
    return isCaughtUp ? this.#isStoredSurely(key) : this.#isStored(key)
  }

  /** Looks for the run now and then, until the returned function is called. */
  add(key: RunKey): () => void {
    this.#awaited.set(key, (this.#awaited.get(key) ?? 0) + 1)
    this.#timer ??= setInterval(() => this.look(), this.#options.pollMs)
    return () => {
      const left = (this.#awaited.get(key) ?? 0) - 1
      if (left > 0) this.#awaited.set(key, left)
      else this.#awaited.delete(key)
      if (this.#awaited.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  /** Looks for all awaited runs at once, unless it does already. A look that fails is made up for by the next one. */
  look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    void this.#look()
      .catch(() => {})
      .finally(() => (this.#isLooking = false))
  }

  async #look(): Promise<void> {
    const keys = [...this.#awaited.keys()]
    for (let at = 0; at < keys.length; at += maxKeysPerRead) {
      const stored = await this.#options.runRepository.findStored(keys.slice(at, at + maxKeysPerRead))
      for (const key of stored) this.#options.onStored(key)
    }
  }
}

/** Collects the keys that are asked for while a read is under way: the next read answers for all of them. */
function askTogether(find: (keys: readonly RunKey[]) => Promise<readonly RunKey[]>): (key: RunKey) => Promise<boolean> {
  let reading: Promise<unknown> = Promise.resolve()
  let next: { readonly keys: Set<RunKey>; readonly stored: Promise<ReadonlySet<RunKey>> } | undefined
  const read = async (keys: ReadonlySet<RunKey>, before: Promise<unknown>) => {
    await raceSignal(before, AbortSignal.timeout(maxCollectMs)).catch(() => {})
    await new Promise(setImmediate) // for those that ask in the same turn of the event loop
    if (next?.keys === keys) next = undefined
    return new Set(await find([...keys]))
  }
  const collect = () => {
    const keys = new Set<RunKey>()
    const stored = read(keys, reading)
    reading = stored.catch(() => {})
    return { keys, stored }
  }
  return async (key) => {
    if (next === undefined || next.keys.size >= maxKeysPerRead) next = collect()
    next.keys.add(key)
    return (await next.stored).has(key)
  }
}
