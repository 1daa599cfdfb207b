import type { UseSessionsResult } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import type { Session } from './session.ts'

/** How many sessions a search loads by itself; past them the user asks for more. */
const maxLoaded = 500

/** A search over titles. */
export interface SessionSearch {
  readonly query: string
  readonly setQuery: (query: string) => void
  readonly found: readonly Session[]
}

/**
 * The sessions whose title holds every word of the query. While there is one, the pages that are not here yet are loaded.
 *
 * @param place the search is over when it is another one: a session was opened, or is being renamed
 */
export function useSessionSearch(list: UseSessionsResult, place: string): SessionSearch {
  const { sessions, status, error, hasMore, loadMore } = list
  const [query, setQuery] = useState('')
  const [seen, setSeen] = useState(place)
  if (seen !== place) {
    setSeen(place)
    setQuery('')
  }
  const isSearching = query.trim() !== ''
  const { length } = sessions
  const canLoad = status === 'ready' && error === null && hasMore && length < maxLoaded
  useEffect(() => {
    if (isSearching && canLoad) void loadMore()
    // Again after each page.
  }, [isSearching, canLoad, length, loadMore])
  return { query, setQuery, found: isSearching ? findSessions(sessions, query) : sessions }
}

/** Case and accents do not matter: `cafe` finds `Café`. */
export function findSessions(sessions: readonly Session[], query: string): Session[] {
  const words = plain(query)
    .split(/\s+/)
    .filter((word) => word !== '')
  return sessions.filter(({ title }) => words.every((word) => plain(title ?? 'Untitled').includes(word)))
}

function plain(text: string): string {
  return text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()
}
