/** Waits that end early: by a signal, or by the browser coming back online or to the front. */

/** Waits for `promise`, or rejects with the signal's reason as soon as it aborts; leaves no listener behind. */
export function raceSignal<TValue>(promise: Promise<TValue>, signal: AbortSignal): Promise<TValue> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Ends a wait before its time. */
export interface PauseOptions {
  /** The wait rejects with its reason when it aborts. */
  readonly signal: AbortSignal
  /** Set when the browser waking up ends the wait. */
  readonly wakes: boolean
  /** Ends the wait when it settles. */
  readonly until?: Promise<unknown> | undefined
}

/** Waits `delayMs`, or less. */
export async function pause(delayMs: number, { signal, wakes, until }: PauseOptions): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  let stopListening = () => {}
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, delayMs)
    if (wakes) stopListening = onWakeUp(() => resolve())
    until?.then(
      () => resolve(),
      () => resolve(), // who owns it sees why; here only the wait is over
    )
  })
  try {
    await raceSignal(over, signal)
  } finally {
    clearTimeout(timer)
    stopListening()
  }
}

/** What woke the browser: a network that is back (old connections are dead), or the page shown again (they may be). */
export type WakeUp = 'online' | 'visible'

/** Calls `listener` when the browser wakes up; never in Node. Returns the function that stops it. */
export function onWakeUp(listener: (cause: WakeUp) => void): () => void {
  if (typeof document === 'undefined') return () => {}
  const onOnline = () => listener('online')
  const onVisibility = () => {
    if (document.visibilityState === 'visible') listener('visible')
  }
  globalThis.addEventListener('online', onOnline)
  document.addEventListener('visibilitychange', onVisibility)
  return () => {
    globalThis.removeEventListener('online', onOnline)
    document.removeEventListener('visibilitychange', onVisibility)
  }
}
