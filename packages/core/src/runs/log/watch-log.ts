import { sleep } from '../../async/sleep.ts'
import type { LogWatcher } from '../../ports/event-log.ts'
import type { RunTails } from './run-tail.ts'

export interface WatchDeps {
  readonly watcher: LogWatcher
  readonly tails: RunTails
  /** How often it is looked whether the watch is still needed, in milliseconds. */
  readonly lingerMs: number
}

/**
 * Watches the whole fleet's log while a run of another process is followed here, and only then: a process that serves its
 * own runs alone has no use for hints, and every insert would cost it one.
 */
export class RemoteWatch {
  readonly #deps: WatchDeps
  readonly #signal: AbortSignal
  #watching: Promise<void> | undefined

  constructor(deps: WatchDeps, signal: AbortSignal) {
    this.#deps = deps
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
    const { watcher, tails, lingerMs } = this.#deps
    const unneeded = new AbortController()
    const signal = AbortSignal.any([this.#signal, unneeded.signal])
    const watching = watcher.watch({ onGrowth: (key) => tails.hint(key), onGap: () => tails.hintAll() }, signal)
    do
      await sleep(lingerMs, this.#signal).catch(() => {}) // an abort ends the loop
    while (tails.hasRemote && !this.#signal.aborted)
    unneeded.abort()
    await watching
  }
}
