import type { FollowedUpdate, Session } from '@verbatim/core'

/** The newest state of a session, or of the list: each takes the place of the one before it. */
export type SessionState =
  /** Null while there is no session of this id. */
  | { readonly type: 'session'; readonly sessionId: string; readonly session: Session | null }
  | { readonly type: 'session_deleted'; readonly sessionId: string }
  /** The newest sessions, newest activity first; `sessions.list` has the rest after `nextCursor`. */
  | { readonly type: 'list'; readonly sessions: readonly Session[]; readonly nextCursor: string | null }

/** A server that has just been elected may answer with an older state for a moment. */
export function isOlder(next: SessionState, known: SessionState | undefined): boolean {
  if (known === undefined) return false
  if (known.type === 'session_deleted') return true
  if (known.type !== 'session' || known.session === null || next.type !== 'session') return false
  return next.session === null || next.session.revision < known.session.revision
}

/** The list with its changes. */
export function listWith(
  list: Extract<SessionState, { type: 'list' }> | undefined,
  { sessions, removedIds }: Extract<FollowedUpdate, { type: 'list_changed' }>,
): Extract<SessionState, { type: 'list' }> {
  const byId = new Map(list?.sessions.map((session) => [session.id, session]))
  for (const session of sessions) byId.set(session.id, session)
  for (const id of removedIds) byId.delete(id)
  const newestFirst = [...byId.values()].toSorted((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1))
  return { type: 'list', sessions: newestFirst, nextCursor: list?.nextCursor ?? null }
}
