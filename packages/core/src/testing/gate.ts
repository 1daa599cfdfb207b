const brand = Symbol('gate')

/** Holds each caller until the test opens it. */
export interface Gate {
  readonly [brand]: true
  /** Resolves when a caller waits at the gate, at once if one waits already. */
  reached(): Promise<void>
  /** Lets the next `count` through, those who wait first. @default 1 */
  release(count?: number): void
  /** Lets everybody through from now on. */
  open(): void
  /** Waits at the gate. When `signal` aborts it leaves the queue and takes no release. @internal */
  pass(signal: AbortSignal): Promise<void>
}

/** A closed gate. */
export function createGate(): Gate {
  const waiting: (() => void)[] = []
  const watchers: (() => void)[] = []
  let permits = 0

  function admit(): void {
    while (permits > 0 && waiting.length > 0) {
      permits--
      waiting.shift()?.()
    }
  }

  function release(count = 1): void {
    permits += count
    admit()
  }

  function pass(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const onAbort = () => {
        const at = waiting.indexOf(enter)
        if (at >= 0) waiting.splice(at, 1)
      }
      const enter = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      signal.addEventListener('abort', onAbort, { once: true })
      waiting.push(enter)
      admit()
      // Told only of those who are held: a step that passes freely is not a place to stop at.
      if (waiting.length > 0) for (const tell of watchers.splice(0)) tell()
    })
  }

  return Object.freeze({
    [brand]: true as const,
    reached: () => new Promise<void>((resolve) => void (waiting.length > 0 ? resolve() : watchers.push(resolve))),
    release,
    open: () => release(Number.POSITIVE_INFINITY),
    pass,
  })
}

/** @internal */
export function isGate(value: unknown): value is Gate {
  return typeof value === 'object' && value !== null && brand in value
}
