/** A state that changes: callers wait for its next change or listen to all. Read the state before waiting: an old change is over. */
export interface Condition {
  notify(): void
  /** Resolves at the next notification; never rejects. */
  wait(): Promise<void>
  /** Calls `listener` at every notification. Returns what undoes it. */
  subscribe(listener: () => void): () => void
  readonly hasListeners: boolean
}

export function createCondition(): Condition {
  const listeners = new Set<() => void>()
  let change: Promise<void> | undefined
  let resolveChange = () => {}
  return {
    notify() {
      change = undefined
      resolveChange()
      for (const listener of listeners) callApart(listener)
    },
    async wait() {
      change ??= new Promise((resolve) => {
        resolveChange = resolve
      })
      await change
    },
    subscribe(listener) {
      const own = () => listener() // the same function may subscribe twice
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    get hasListeners() {
      return listeners.size > 0
    },
  }
}

/** A listener that throws is the listener's bug: it surfaces as an uncaught error and does not stop the others. */
function callApart(listener: () => void): void {
  try {
    listener()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
