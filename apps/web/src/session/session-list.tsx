import type { UseSessionsResult } from '@verbatim/client/react'
import type { RefObject } from 'react'
import { errorMessage } from '../notices/error-message.ts'
import { groupSessions } from './group-sessions.ts'
import { SessionItem } from './session-item.tsx'
import type { SessionActions } from './session-item.tsx'
import type { Session } from './session.ts'
import { useSessionSearch } from './session-search.ts'

interface SessionListProps {
  readonly list: UseSessionsResult
  readonly currentId: string
  readonly searchField: RefObject<HTMLInputElement | null>
  readonly onPick: () => void
  /** Of the current session. */
  readonly actions: SessionActions
}

/** The caller's sessions, newest first, under their dates; a search over their titles. */
export function SessionList(props: SessionListProps) {
  const { list, currentId, searchField, actions } = props
  const { query, setQuery, found } = useSessionSearch(list, `${currentId} ${actions.isRenaming}`)
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
        onKeyDown={(event) => {
          if (event.key !== 'Escape' || query === '' || event.nativeEvent.isComposing) return
          event.preventDefault() // the next one is for the page
          setQuery('')
        }}
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

function ListNotes({ list, isFound }: { list: UseSessionsResult; isFound: boolean }) {
  const { sessions, status, error, hasMore, refresh, loadMore } = list
  return (
    <>
      {error !== null && (
        <p className="session-note" role="alert" data-testid="list-error">
          {errorMessage(error)}{' '}
          <button type="button" className="link-button" onClick={() => void refresh()}>
            Try again
          </button>
        </p>
      )}
      {status === 'ready' && !isFound && (
        <p className="session-note" role="status">
          {sessions.length === 0 ? 'Your sessions will be listed here.' : 'No title has these words.'}
        </p>
      )}
      {hasMore && (
        <button type="button" className="link-button session-note" onClick={() => void loadMore()}>
          Show more
        </button>
      )}
    </>
  )
}
