import type { VerbatimClient } from '@verbatim/client'

type SessionPage = Awaited<ReturnType<VerbatimClient['sessions']['list']>>
export type Session = SessionPage['items'][number]

/** The sessions loaded so far. */
export interface SessionListState {
  readonly sessions: readonly Session[]
  readonly status: 'loading' | 'ready' | 'failed'
  /** Where the next page begins; null when all are here. */
  readonly nextCursor: string | null
}

export type SessionListAction =
  | { readonly type: 'loaded'; readonly page: SessionPage; readonly isFirst: boolean }
  | { readonly type: 'removed'; readonly sessionId: string }
  | { readonly type: 'failed' }

export const initialList: SessionListState = { sessions: [], status: 'loading', nextCursor: null }

/** The list after a page came, or failed to, or a session was deleted. A first page that is loaded again keeps the further ones. */
export function reduceList(list: SessionListState, action: SessionListAction): SessionListState {
  if (action.type === 'failed') return { ...list, status: 'failed' }
  if (action.type === 'removed') {
    return { ...list, sessions: list.sessions.filter((session) => session.id !== action.sessionId) }
  }
  const { items, nextCursor } = action.page
  const isReload = action.isFirst && list.sessions.length > items.length
  const byId = new Map([...list.sessions, ...items].map((session) => [session.id, session]))
  const sessions = [...byId.values()].toSorted((a, b) => b.updatedAt.localeCompare(a.updatedAt))
  return { sessions, status: 'ready', nextCursor: isReload ? list.nextCursor : nextCursor }
}
