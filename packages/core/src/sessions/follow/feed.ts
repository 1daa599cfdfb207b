/** The newest state of one thing, for all its followers in this process. */
export class Feed<TKey, TState> {
  readonly key: TKey
  /** Called after each change. */
  readonly followers = new Set<() => void>()
  #state: TState | undefined
  #failure: Error | undefined

  constructor(key: TKey) {
    this.key = key
  }

  /** Undefined before the first read. */
  get known(): TState | undefined {
    return this.#state
  }

  /** True when the last read failed; then it is to be read again. */
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  /** @throws what the first read throws; after a later failure followers keep what they have */
  get state(): TState | undefined {
    if (this.#state === undefined && this.#failure !== undefined) throw this.#failure
    return this.#state
  }

  fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error('The read failed', { cause: error })
    if (this.#state === undefined) this.#wake()
  }

  /** Takes what was read; undefined when that is nothing new. */
  protected update(state: TState | undefined): void {
    this.#failure = undefined
    if (state === undefined) return
    this.#state = state
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.followers) wake()
  }
}
