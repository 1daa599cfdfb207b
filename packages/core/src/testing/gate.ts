const brand = Symbol('gate')

/** Holds the steps that pass it until the test lets them through. */
export interface Gate {
  readonly [brand]: true
  /** How many steps had to wait at the gate so far. */
  readonly arrivals: number
  /** Resolves when a step waits at the gate. */
  reached(): Promise<void>
  /** Lets the next `count` steps through, those that wait first. @default 1 */
  release(count?: number): void
  /** Lets every step through from now on. */
  open(): void
  /** Holds every step again. */
  shut(): void
  /** Waits at the gate. When `signal` aborts, the step leaves the gate, takes no release and rejects with the reason. */
  pass(signal?: AbortSignal): Promise<void>
}

/** A gate, closed unless `isOpen`. */
export function createGate({ isOpen = false }: { readonly isOpen?: boolean } = {}): Gate {
  const waiting: (() => void)[] = []
  const watchers: (() => void)[] = []
  let permits = isOpen ? Number.POSITIVE_INFINITY : 0
  let arrivals = 0

  function release(count = 1): void {
    permits += count
    while (permits > 0 && waiting.length > 0) {
      permits--
      waiting.shift()?.()
    }
  }

  async function pass(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (permits > 0) {
      permits--
      return
    }
    arrivals++
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        waiting.splice(waiting.indexOf(enter), 1)
        reject(signal?.reason)
      }
      const enter = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(enter)
      for (const tell of watchers.splice(0)) tell()
    })
  }

  return Object.freeze({
    [brand]: true as const,
    get arrivals() {
      return arrivals
    },
    reached: () => new Promise<void>((resolve) => void (waiting.length > 0 ? resolve() : watchers.push(resolve))),
    release,
    open: () => release(Number.POSITIVE_INFINITY),
    shut: () => void (permits = 0),
    pass,
  })
}

/** @internal */
export function isGate(value: unknown): value is Gate {
  return typeof value === 'object' && value !== null && brand in value
}
