import type { VerbatimClient } from '@verbatim/client'
import { useVerbatim } from '@verbatim/client/react'
import { useCallback, useEffect, useReducer } from 'react'
import { initialList, reduceList } from './session-list-state.ts'
import type { Session, SessionListAction, SessionListState } from './session-list-state.ts'

/** The caller's sessions, newest activity first, as far as they were asked for. */
export interface UseSessionListResult extends SessionListState {
  readonly refresh: () => void
  readonly showMore: () => void
  readonly rename: (sessionId: string, title: string) => void
  /** For good, with all that was said in it. */
  readonly remove: (sessionId: string) => void
}

/** Loads the list, and its first page again whenever it changes anywhere, the page is shown again or `refresh` is called. */
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
  useEffect(() => {
    const leaving = new AbortController()
    void followList(client, leaving.signal, dispatch)
    return () => leaving.abort()
  }, [client])
  return { ...list, refresh, showMore, rename, remove }
}

/** Passes on what another tab or device changes in the first page. Without that the list is as it was loaded. */
async function followList(
  client: VerbatimClient,
  signal: AbortSignal,
  dispatch: (action: SessionListAction) => void,
): Promise<void> {
  let shown: readonly Session[] = []
  try {
    for await (const state of client.sessions.follow({ list: true, signal })) {
      if (state.type !== 'list') continue
      const { sessions, nextCursor } = state
      const oldest = nextCursor === null ? '' : (sessions.at(-1)?.updatedAt ?? '')
      const isGone = ({ id, updatedAt }: Session) =>
        updatedAt > oldest && !sessions.some((session) => session.id === id)
      for (const { id } of shown.filter(isGone)) dispatch({ type: 'removed', sessionId: id })
      dispatch({ type: 'loaded', page: { items: [...sessions], nextCursor }, isFirst: true })
      shown = sessions
    }
  } catch {
    // The page was left, or the server refuses: the list is loaded when the page is shown again.
  }
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
