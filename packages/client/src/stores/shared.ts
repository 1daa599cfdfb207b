import type { VerbatimClient } from '../create-client.ts'
import type { RunHandle } from '../run.ts'

/**
 * One store for each client and key, however many components ask. Held weakly: a store that nobody watches holds no
 * connection, and goes when the last component that knows it goes.
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

/** The handle of one run on loan, also when others continue it; it is closed when the last borrower has given it back. */
export interface Loan {
  readonly handle: RunHandle
  readonly release: () => void
}

interface Shared {
  readonly handle: RunHandle
  borrowers: number
}

const handles = new WeakMap<VerbatimClient, Map<string, Shared>>()

/** The one connection of a client to a run, shared by all stores: made by `open` when there is none. */
export function borrowRun(
  client: VerbatimClient,
  runId: string,
  open = () => client.runs.follow(runId, { followContinuations: false }),
): Loan {
  const ofClient = handles.get(client) ?? new Map<string, Shared>()
  handles.set(client, ofClient)
  const shared = usable(ofClient.get(runId)) ?? { handle: open(), borrowers: 0 }
  ofClient.set(runId, shared)
  shared.borrowers += 1
  let isReleased = false
  return {
    handle: shared.handle,
    release() {
      if (isReleased) return
      isReleased = true
      shared.borrowers -= 1
      if (shared.borrowers > 0) return
      if (ofClient.get(runId) === shared) ofClient.delete(runId)
      shared.handle.close()
    },
  }
}

/** A handle that failed is of no use to a newcomer. */
function usable(shared: Shared | undefined): Shared | undefined {
  return shared?.handle.status === 'error' || shared?.handle.status === 'closed' ? undefined : shared
}
