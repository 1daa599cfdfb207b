import { sleep } from '../../async/sleep.ts'
import type { LogWatcher } from '../../ports/event-log.ts'
import type { AwaitedRuns } from './awaited-runs.ts'
import type { RunTails } from './run-tail.ts'

/** Between two checks whether the change stream is still needed, in milliseconds: it stays open 0 to 10 s after its last use. */
const lingerMs = 10_000

/**
 * Watches the whole fleet's log while a run of another process is followed here, and only then: a process that serves its
 * own runs alone has no use for hints, and every insert would cost it one.
 */
export class RemoteWatch {
  readonly #watcher: LogWatcher
  readonly #tails: RunTails
  readonly #awaitedRuns: AwaitedRuns
  readonly #signal: AbortSignal
  #watching: Promise<void> | undefined

  constructor(watcher: LogWatcher, followed: { tails: RunTails; awaitedRuns: AwaitedRuns }, signal: AbortSignal) {
    this.#watcher = watcher
    this.#tails = followed.tails
    this.#awaitedRuns = followed.awaitedRuns
    this.#signal = signal
  }

  /** Begins to watch, unless it does already. */
  start(): void {
    if (this.#signal.aborted) return
    this.#watching ??= this.#watch().finally(() => (this.#watching = undefined))
  }

  /** Resolves when the watch has ended; abort the signal first. */
  async closed(): Promise<void> {
    await this.#watching
  }

  async #watch(): Promise<void> {
    const tails = this.#tails
    const unneeded = new AbortController()
    const signal = AbortSignal.any([this.#signal, unneeded.signal])
    const onGap = () => {
      tails.hintAll()
      this.#awaitedRuns.look()
    }
    const watching = this.#watcher.watch({ onGrowth: (key) => tails.hint(key), onGap }, signal)
    do
      await sleep(lingerMs, this.#signal).catch(() => {}) // an abort ends the loop
    while (tails.hasRemote && !this.#signal.aborted)
    unneeded.abort()
    await watching
  }
}
