import { sleep } from './sleep.ts'

/** Between two checks whether the watch is still needed, in milliseconds: it stays open 0 to 10 s after its last use. */
const lingerMs = 10_000

export interface DemandedWatch {
  /** Watches until `signal` aborts; never rejects. */
  readonly watch: (signal: AbortSignal) => Promise<void>
  readonly isNeeded: () => boolean
}

/** A change stream that is open only while it is needed: a process without a use for hints has no cost of them. */
export class WatchOnDemand {
  readonly #demanded: DemandedWatch
  readonly #signal: AbortSignal
  #watching: Promise<void> | undefined

  constructor(demanded: DemandedWatch, signal: AbortSignal) {
    this.#demanded = demanded
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
    const unneeded = new AbortController()
    const watching = this.#demanded.watch(AbortSignal.any([this.#signal, unneeded.signal]))
    do
      await sleep(lingerMs, this.#signal).catch(() => {}) // an abort ends the loop
    while (this.#demanded.isNeeded() && !this.#signal.aborted)
    unneeded.abort()
    await watching
  }
}
