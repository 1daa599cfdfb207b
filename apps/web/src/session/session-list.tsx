import { SessionItem } from './session-item.tsx'
import type { UseSessionListResult } from './use-session-list.ts'

interface SessionListProps {
  readonly list: UseSessionListResult
  readonly currentId: string
  readonly onPick: () => void
  readonly onDelete: (sessionId: string) => void
}

/** The caller's sessions, newest first. */
export function SessionList({ list, currentId, onPick, onDelete }: SessionListProps) {
  const { sessions, status, nextCursor, refresh, showMore, rename } = list
  return (
    <div className="session-list">
      <ul>
        {sessions.map((session) => (
          <SessionItem
            key={session.id}
            session={session}
            isCurrent={session.id === currentId}
            onPick={onPick}
            onRename={rename}
            onDelete={onDelete}
          />
        ))}
      </ul>
      {status === 'failed' && (
        <p className="session-note">
          The sessions could not be loaded.{' '}
          <button type="button" className="link-button" onClick={refresh}>
            Try again
          </button>
        </p>
      )}
      {status === 'ready' && sessions.length === 0 && (
        <p className="session-note">Your sessions will be listed here.</p>
      )}
      {nextCursor !== null && (
        <button type="button" className="link-button session-note" onClick={showMore}>
          Show more
        </button>
      )}
    </div>
  )
}
