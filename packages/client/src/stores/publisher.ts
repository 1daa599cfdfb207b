/** A value that components watch. Framework-free: React's binding is `useSyncExternalStore(store.subscribe, store.getSnapshot)`. */
export interface Store<TSnapshot> {
  /** The latest snapshot: immutable, and the same object until something changed. */
  readonly getSnapshot: () => TSnapshot
  /** Calls `listener` after a change, at most once a frame. The first one connects, the last one to leave disconnects. */
  readonly subscribe: (listener: () => void) => () => void
}

export interface Publisher<TSnapshot> extends Store<TSnapshot> {
  /** Takes a new snapshot with the next frame and tells the listeners. */
  readonly publish: () => void
  /** Takes and tells at once, for what a user did and must see done. */
  readonly publishNow: () => void
}

export interface PublisherOptions<TSnapshot> {
  readonly initial: TSnapshot
  readonly take: () => TSnapshot
  readonly onWatched: () => void
  readonly onUnwatched: () => void
}

export function createPublisher<TSnapshot>(options: PublisherOptions<TSnapshot>): Publisher<TSnapshot> {
  const listeners = new Set<() => void>()
  let snapshot = options.initial
  let isWatched = false

  function publishNow(): void {
    snapshot = options.take()
    for (const listener of listeners) listener()
  }

  /** Later, not at once: StrictMode and route changes leave and come back within one task. */
  function leaveLater(): void {
    setTimeout(() => {
      if (listeners.size > 0 || !isWatched) return
      isWatched = false
      options.onUnwatched()
    }, 0)
  }

  return {
    getSnapshot: () => snapshot,
    subscribe(listener) {
      const own = () => listener()
      listeners.add(own)
      if (!isWatched) {
        isWatched = true
        options.onWatched()
      }
      return () => {
        if (listeners.delete(own) && listeners.size === 0) leaveLater()
      }
    },
    publish: onceAFrame(publishNow),
    publishNow,
  }
}

/** How long a frame may take before the update goes out without it: a page that is not painted gets no frames. */
const maxFrameMs = 100

/** `action`, put off to the browser's next frame however often it is asked for; in Node to the end of the current task. */
function onceAFrame(action: () => void): () => void {
  let isAskedFor = false
  function run(): void {
    if (!isAskedFor) return
    isAskedFor = false
    action()
  }
  return () => {
    if (isAskedFor) return
    isAskedFor = true
    if (typeof requestAnimationFrame === 'undefined') return queueMicrotask(run)
    const timer = setTimeout(run, maxFrameMs)
    requestAnimationFrame(() => {
      clearTimeout(timer)
      run()
    })
  }
}
