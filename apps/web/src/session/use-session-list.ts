import type { VerbatimClient } from '@verbatim/client'
import { useVerbatim } from '@verbatim/client/react'
import { useCallback, useEffect, useReducer } from 'react'
import { initialList, reduceList } from './session-list-state.ts'
import type { SessionListState } from './session-list-state.ts'

/** The caller's sessions, newest activity first, as far as they were asked for. */
export interface UseSessionListResult extends SessionListState {
  readonly refresh: () => void
  readonly showMore: () => void
  readonly rename: (sessionId: string, title: string) => void
  /** For good, with all that was said in it. */
  readonly remove: (sessionId: string) => void
}

/** Loads the list, and its first page again whenever the page is shown again or `refresh` is called. */
export function useSessionList(): UseSessionListResult {
  const client = useVerbatim()
  const [list, dispatch] = useReducer(reduceList, initialList)

  const load = useCallback(
    async (cursor: string | null) => {
      try {
        dispatch({ type: 'loaded', page: await client.sessions.list({ cursor }), isFirst: cursor === null })
      } catch {
        dispatch({ type: 'failed' })
      }
    },
    [client],
  )
  const refresh = useCallback(() => void load(null), [load])
  const showMore = useCallback(() => void load(list.nextCursor), [load, list.nextCursor])
  const rename = useCallback(
    (sessionId: string, title: string) => void renameSession(client, { sessionId, title }).finally(refresh),
    [client, refresh],
  )
  const remove = useCallback(
    (sessionId: string) => {
      const removing = client.sessions.delete(sessionId).then(() => dispatch({ type: 'removed', sessionId }))
      removing.catch(() => {}).finally(refresh) // when it fails, the session is still in the list, which says so
    },
    [client, refresh],
  )
  useEffect(refresh, [refresh])
  useEffect(() => onShown(refresh), [refresh])
  return { ...list, refresh, showMore, rename, remove }
}

/** When it fails, the list that is loaded next shows the old title, which says so. */
async function renameSession(client: VerbatimClient, rename: { sessionId: string; title: string }): Promise<void> {
  await client.sessions.update(rename).catch(() => {})
}

function onShown(listener: () => void): () => void {
  const onVisibility = () => {
    if (document.visibilityState === 'visible') listener()
  }
  document.addEventListener('visibilitychange', onVisibility)
  return () => document.removeEventListener('visibilitychange', onVisibility)
}
