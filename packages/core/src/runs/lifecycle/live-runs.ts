/** The runs that this process drives, each with the handle that stops it. */
import { raceSignal } from '../../async/race-signal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'

/** The reason with which a run's signal aborts when the run is cancelled. */
export const cancelReason = Symbol('cancelled')

export interface LiveRun {
  readonly owned: OwnedRun
  /** Aborted with {@link cancelReason} to cancel the run, with anything else to release it. */
  readonly stop: AbortController
  /** Resolves when the run is no longer this process's; never rejects. */
  readonly done: Promise<unknown>
}

export class LiveRuns {
  readonly #runs = new Map<RunKey, LiveRun>()
  readonly #beginnings = new Set<Promise<void>>()
  #releaseReason: Error | undefined
  readonly #stopped: OwnedRun[] = []

  add(live: LiveRun): void {
    this.#runs.set(live.owned.key, live)
    void live.done.then(() => this.#runs.delete(live.owned.key))
    if (this.#releaseReason !== undefined) this.#stop(live, this.#releaseReason)
  }

  /** A promise that may add a run before it resolves; must not reject. */
  addBeginning(beginning: Promise<void>): void {
    this.#beginnings.add(beginning)
    void beginning.then(() => this.#beginnings.delete(beginning))
  }

  get(key: RunKey): LiveRun | undefined {
    return this.#runs.get(key)
  }

  /** Cancels the run, if this process drives it; answers it. */
  cancel(key: RunKey): LiveRun | undefined {
    const live = this.#runs.get(key)
    live?.stop.abort(cancelReason)
    return live
  }

  get size(): number {
    return this.#runs.size
  }

  all(): LiveRun[] {
    return [...this.#runs.values()]
  }

  /** Resolves when no run is left, and none is about to begin. */
  async idle(): Promise<void> {
    while (this.#runs.size + this.#beginnings.size > 0) {
      await Promise.all([...this.all().map((live) => live.done), ...this.#beginnings])
    }
  }

  /**
   * Stops all runs, and those that still begin. Answers the stopped runs when all are done, or when `leaving` aborts; recovery
   * then ends what a run has not stored.
   */
  async releaseAll(reason: Error, leaving: AbortSignal): Promise<OwnedRun[]> {
    this.#releaseReason = reason
    for (const live of this.all()) this.#stop(live, reason)
    await raceSignal(this.idle(), leaving).catch(() => {}) // nothing but the signal rejects
    return this.#stopped.splice(0)
  }

  #stop(live: LiveRun, reason: Error): void {
    this.#stopped.push(live.owned)
    live.stop.abort(reason)
  }
}
