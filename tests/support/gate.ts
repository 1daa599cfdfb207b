/** A gate that a test opens; callers wait at it. */
export interface Gate {
  readonly isOpen: boolean
  /** Callers that have come to the gate so far, while it was shut. */
  readonly arrivals: number
  open(): void
  shut(): void
  /** Resolves when the gate is open, or rejects with the signal's reason. */
  pass(signal?: AbortSignal): Promise<void>
}

export function createGate({ isOpen = false }: { isOpen?: boolean } = {}): Gate {
  const waiting = new Set<() => void>()
  let arrivals = 0
  return {
    get isOpen() {
      return isOpen
    },
    get arrivals() {
      return arrivals
    },
    open() {
      isOpen = true
      for (const go of waiting) go()
      waiting.clear()
    },
    shut() {
      isOpen = false
    },
    async pass(signal) {
      if (isOpen) return
      arrivals++
      await new Promise<void>((resolve, reject) => {
        const stop = () => reject(signal?.reason)
        waiting.add(() => {
          signal?.removeEventListener('abort', stop)
          resolve()
        })
        signal?.addEventListener('abort', stop, { once: true })
      })
    },
  }
}
