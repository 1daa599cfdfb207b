/** The runs this process writes, each with the handle that stops it. */
import type { RunKey } from '../ports/event-log.ts'
import type { OwnedRun } from '../ports/run-repository.ts'

export interface LiveRun {
  readonly owned: OwnedRun
  /** Aborted to cancel the run or to let go of it. */
  readonly stop: AbortController
  /** Resolves when the run is no longer this process's; never rejects. */
  readonly done: Promise<unknown>
}

export class LiveRuns {
  readonly #runs = new Map<RunKey, LiveRun>()

  add(live: LiveRun): void {
    this.#runs.set(live.owned.key, live)
    void live.done.then(() => this.#runs.delete(live.owned.key))
  }

  get(key: RunKey): LiveRun | undefined {
    return this.#runs.get(key)
  }

  get size(): number {
    return this.#runs.size
  }

  all(): LiveRun[] {
    return [...this.#runs.values()]
  }

  /** Resolves when no run is left. */
  async idle(): Promise<void> {
    while (this.#runs.size > 0) await Promise.all(this.all().map((live) => live.done))
  }
}
