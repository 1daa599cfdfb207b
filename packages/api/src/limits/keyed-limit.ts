/** Lets so many holders in at once for each key; the others wait in line. In: a key. Out: what lets the next one in. */

export interface KeyedLimitOptions {
  readonly maxAtOnce: number
  /** How many may wait for one key. */
  readonly maxWaiting: number
  /** How long one may wait, in milliseconds. @default no limit */
  readonly maxWaitMs?: number
  /** What one receives that may not even wait, or has waited too long. */
  readonly refuse: () => Error
}

interface Line {
  inside: number
  readonly waiting: Set<() => void>
}

export class KeyedLimit {
  readonly #options: KeyedLimitOptions
  /** Holds no line that is empty. */
  readonly #lines = new Map<string, Line>()

  constructor(options: KeyedLimitOptions) {
    this.#options = options
  }

  /**
   * Resolves when there is room. Call what it resolves with exactly once, whatever happens.
   *
   * @throws what `refuse` makes, when the line is full; the signal's reason
   */
  async enter(key: string, signal: AbortSignal): Promise<() => void> {
    const { maxAtOnce, maxWaiting, maxWaitMs, refuse } = this.#options
    const line = this.#lines.get(key) ?? { inside: 0, waiting: new Set() }
    this.#lines.set(key, line)
    if (line.inside < maxAtOnce) line.inside++
    else if (line.waiting.size < maxWaiting) await takeTurn(line, { signal, maxWaitMs, refuse })
    else throw refuse()
    return () => this.#leave(key, line)
  }

  /** Runs `act` when there is room. @throws what `refuse` makes; what `act` throws */
  async run<TResult>(key: string, act: () => Promise<TResult>): Promise<TResult> {
    const leave = await this.enter(key, never)
    try {
      return await act()
    } finally {
      leave()
    }
  }

  #leave(key: string, line: Line): void {
    const [next] = line.waiting
    // The place goes to the next one as it is, so that a newcomer cannot take it in between.
    if (next !== undefined) return next()
    line.inside--
    if (line.inside === 0) this.#lines.delete(key)
  }
}

/** A caller that leaves ends its calls one by one, as tRPC does. */
const never = new AbortController().signal

interface Wait extends Pick<KeyedLimitOptions, 'refuse'> {
  readonly signal: AbortSignal
  readonly maxWaitMs: number | undefined
}

async function takeTurn(line: Line, { signal, maxWaitMs, refuse }: Wait): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      line.waiting.delete(enter)
      signal.removeEventListener('abort', leave)
      clearTimeout(timer)
    }
    const enter = () => {
      stop()
      resolve()
    }
    const leave = () => {
      stop()
      reject(signal.reason as Error)
    }
    const giveUp = () => {
      stop()
      reject(refuse())
    }
    const timer = maxWaitMs === undefined ? undefined : setTimeout(giveUp, maxWaitMs)
    line.waiting.add(enter)
    signal.addEventListener('abort', leave, { once: true })
  })
}
