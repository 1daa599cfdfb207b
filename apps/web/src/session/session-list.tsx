import type { RefObject } from 'react'
import { groupSessions } from './group-sessions.ts'
import { SessionItem } from './session-item.tsx'
import type { SessionActions } from './session-item.tsx'
import type { Session } from './session-list-state.ts'
import { useSessionSearch } from './session-search.ts'
import type { UseSessionListResult } from './use-session-list.ts'

interface SessionListProps {
  readonly list: UseSessionListResult
  readonly currentId: string
  readonly searchField: RefObject<HTMLInputElement | null>
  readonly onPick: () => void
  /** Of the current session. */
  readonly actions: SessionActions
}

/** The caller's sessions, newest first, under their dates; a search over their titles. */
export function SessionList(props: SessionListProps) {
  const { list, searchField } = props
  const { query, setQuery, found } = useSessionSearch(list)
  return (
    <>
      <input
        ref={searchField}
        type="search"
        className="search-field"
        dir="auto"
        placeholder="Search titles"
        aria-label="Search the titles of the sessions"
        value={query}
        onChange={(event) => setQuery(event.target.value)}
        data-testid="search"
      />
      <div className="session-list">
        <SessionGroups {...props} sessions={found} />
        <ListNotes list={list} isFound={found.length > 0} />
      </div>
    </>
  )
}

function SessionGroups({ sessions, currentId, onPick, actions }: SessionListProps & { sessions: readonly Session[] }) {
  return groupSessions(sessions).map((group) => (
    <section key={group.name} aria-label={group.name}>
      <h2 className="session-time">{group.name}</h2>
      <ul>
        {group.sessions.map((session) => (
          <SessionItem
            key={session.id}
            session={session}
            onPick={onPick}
            actions={session.id === currentId ? actions : undefined}
          />
        ))}
      </ul>
    </section>
  ))
}

function ListNotes({ list, isFound }: { list: UseSessionListResult; isFound: boolean }) {
  const { sessions, status, nextCursor, refresh, showMore } = list
  return (
    <>
      {status === 'failed' && (
        <p className="session-note">
          The sessions could not be loaded.{' '}
          <button type="button" className="link-button" onClick={refresh}>
            Try again
          </button>
        </p>
      )}
      {status === 'ready' && !isFound && (
        <p className="session-note" role="status">
          {sessions.length === 0 ? 'Your sessions will be listed here.' : 'No title has these words.'}
        </p>
      )}
      {nextCursor !== null && (
        <button type="button" className="link-button session-note" onClick={showMore}>
          Show more
        </button>
      )}
    </>
  )
}
