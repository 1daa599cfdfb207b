import type { UseSessionsResult } from '@verbatim/client/react'
import { useState } from 'react'
import type { SessionActions } from './session-item.tsx'
import { replaceByNewSession } from './session-route.ts'

/** What can be done with the session that is open, by its buttons and by keys; nothing while the list does not have it. */
export function useCurrentSession(
  list: UseSessionsResult,
  sessionId: string,
  { onDeleted }: { onDeleted: () => void },
): SessionActions {
  const [renamingId, setRenamingId] = useState<string | null>(null)
  const session = list.sessions.find(({ id }) => id === sessionId)
  return {
    isRenaming: renamingId === sessionId,
    onRename: () => {
      if (session !== undefined) setRenamingId(sessionId)
    },
    onRenamed: (title) => {
      setRenamingId(null)
      if (title !== null) void list.rename(sessionId, title)
    },
    onDelete: () => {
      if (session === undefined) return
      const question = `Delete “${session.title ?? 'Untitled'}” and all its messages? This cannot be undone.`
      if (!globalThis.confirm(question)) return
      // The page leaves it first.
      replaceByNewSession()
      onDeleted()
      void list.remove(sessionId)
    },
  }
}
