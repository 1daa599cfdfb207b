import type { RunHandle } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'

/**
 * One store for each client and key, however many components ask. Held weakly: a store without a watcher holds no connection,
 * and goes when the last component that knows it goes.
 */
export function sharedStores<TStore extends object>(
  create: (client: VerbatimClient, key: string) => TStore,
): (client: VerbatimClient, key: string) => TStore {
  const stores = new WeakMap<VerbatimClient, Map<string, WeakRef<TStore>>>()
  return (client, key) => {
    const ofClient = stores.get(client) ?? new Map<string, WeakRef<TStore>>()
    stores.set(client, ofClient)
    const known = ofClient.get(key)?.deref()
    if (known !== undefined) return known
    for (const [gone, reference] of ofClient) if (reference.deref() === undefined) ofClient.delete(gone)
    const store = create(client, key)
    ofClient.set(key, new WeakRef(store))
    return store
  }
}

/** A reference to the handle of a run. */
export interface AcquiredRun {
  readonly handle: RunHandle
  /** Closes the handle when it was the last reference. Can be called twice. */
  readonly release: () => void
}

interface SharedRun {
  readonly handle: RunHandle
  refCount: number
}

const handles = new WeakMap<VerbatimClient, Map<string, SharedRun>>()

/** The one handle of a client to a run, shared by all stores: made by `open` when there is none. */
export function acquireRun(client: VerbatimClient, runId: string, open = () => client.runs.follow(runId)): AcquiredRun {
  const ofClient = handles.get(client) ?? new Map<string, SharedRun>()
  handles.set(client, ofClient)
  const shared = usable(ofClient.get(runId)) ?? { handle: open(), refCount: 0 }
  ofClient.set(runId, shared)
  shared.refCount += 1
  let isReleased = false
  return {
    handle: shared.handle,
    release() {
      if (isReleased) return
      isReleased = true
      shared.refCount -= 1
      if (shared.refCount > 0) return
      if (ofClient.get(runId) === shared) ofClient.delete(runId)
      shared.handle.close()
    },
  }
}

/** A handle that failed serves no new store. */
function usable(shared: SharedRun | undefined): SharedRun | undefined {
  return shared?.handle.status === 'error' || shared?.handle.status === 'closed' ? undefined : shared
}
