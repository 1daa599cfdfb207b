import { useMemo, useSyncExternalStore } from 'react'
import { initialSessionList, sessionListStore } from '../stores/session-list.ts'
import type { SessionListSnapshot, SessionListStore } from '../stores/session-list.ts'
import { useVerbatim } from './provider.tsx'

/** What {@link useSessions} gives: the list as it looks now, and what can be done with it. */
export type UseSessionsResult = SessionListSnapshot & Omit<SessionListStore, 'getSnapshot' | 'subscribe'>

/**
 * The caller's sessions, live: what another tab or device starts, renames or deletes shows here. Each tab has a stream of its own for
 * it, unless the client is made with `streams: shareStreams({ user })`, from `@verbatim/client/share`.
 *
 * @example
 * const { sessions, rename, remove, loadMore, hasMore } = useSessions()
 */
export function useSessions(): UseSessionsResult {
  const store = sessionListStore(useVerbatim())
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, serverSnapshot)
  return useMemo(() => {
    const { refresh, loadMore, rename, remove } = store
    return { ...snapshot, refresh, loadMore, rename, remove }
  }, [store, snapshot])
}

/** A server renders the empty list; the browser loads. */
function serverSnapshot(): SessionListSnapshot {
  return initialSessionList
}
