import { raceSignal } from './race-signal.ts'

/**
 * Where tasks wait for their turn. The tasks of one key are served first come, first served; the keys take turns, so that a key with
 * many tasks does not hold up one with few. Holds only keys that are in use, and nothing of a task that has given up.
 */
export class Line {
  readonly #maxActive: number
  readonly #maxActivePerKey: number
  readonly #activeOf = new Map<string, number>()
  /** In the order in which the keys are served next. */
  readonly #waitingOf = new Map<string, Set<() => void>>()
  #active = 0
  #waiting = 0

  constructor({ maxActive, maxActivePerKey }: { readonly maxActive: number; readonly maxActivePerKey: number }) {
    this.#maxActive = maxActive
    this.#maxActivePerKey = maxActivePerKey
  }

  /** How many tasks wait, of all keys. */
  get waiting(): number {
    return this.#waiting
  }

  /** How many tasks of `key` wait. */
  waitingOf(key: string): number {
    return this.#waitingOf.get(key)?.size ?? 0
  }

  /** Resolves when it is the caller's turn, which {@link leave} ends. @throws the signal's reason when it aborts first */
  async enter(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.waitingOf(key) === 0 && this.#mayBegin(key)) return this.#begin(key)
    let enter = () => {}
    const turn = new Promise<void>((resolve) => (enter = resolve))
    this.#push(key, enter)
    try {
      await raceSignal(turn, signal)
    } catch (error) {
      // A turn that came at the moment of the abort goes to the next.
      if (!this.#remove(key, enter)) this.leave(key)
      throw error
    }
  }

  /** Ends a turn, and begins the next. */
  leave(key: string): void {
    this.#active--
    const left = (this.#activeOf.get(key) ?? 1) - 1
    if (left === 0) this.#activeOf.delete(key)
    else this.#activeOf.set(key, left)
    for (const [next, tasks] of this.#waitingOf) {
      const [enter] = tasks
      if (enter === undefined || !this.#mayBegin(next)) continue
      this.#remove(next, enter)
      this.#waitingOf.delete(next)
      if (tasks.size > 0) this.#waitingOf.set(next, tasks) // from here on the last of the keys
      this.#begin(next)
      return enter()
    }
  }

  #mayBegin(key: string): boolean {
    return this.#active < this.#maxActive && (this.#activeOf.get(key) ?? 0) < this.#maxActivePerKey
  }

  #begin(key: string): void {
    this.#active++
    this.#activeOf.set(key, (this.#activeOf.get(key) ?? 0) + 1)
  }

  #push(key: string, enter: () => void): void {
    const tasks = this.#waitingOf.get(key) ?? new Set()
    this.#waitingOf.set(key, tasks.add(enter))
    this.#waiting++
  }

  /** False when the task does not wait any more. */
  #remove(key: string, enter: () => void): boolean {
    const tasks = this.#waitingOf.get(key)
    if (tasks?.delete(enter) !== true) return false
    if (tasks.size === 0) this.#waitingOf.delete(key)
    this.#waiting--
    return true
  }
}
