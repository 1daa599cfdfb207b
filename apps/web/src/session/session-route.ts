/**
 * The page's address names the session (`#/s/<id>`), so that a reload or a shared link lands in the same one.
 * In the fragment, because then any server of static files can serve the page.
 */
import { randomUuid } from '@verbatim/client'
import { useSyncExternalStore } from 'react'

const prefix = '#/s/'

/** The address of a session. */
export function hrefOfSession(sessionId: string): string {
  return prefix + encodeURIComponent(sessionId)
}

/** The session that an address names; undefined when it names none. */
export function sessionIdOfHash(hash: string): string | undefined {
  if (!hash.startsWith(prefix) || hash.length === prefix.length) return undefined
  try {
    return decodeURIComponent(hash.slice(prefix.length))
  } catch {
    return undefined // a broken escape names no session
  }
}

/** The ids that this page has made. The server knows such a session from its first prompt on. */
const made = new Set<string>()

/** True for a session that this page has made: there is nothing to load of it before its first prompt. */
export function isNewSession(sessionId: string): boolean {
  return made.has(sessionId)
}

/** A prompt makes the session: from now on there may be something to load. */
export function startSession(sessionId: string): void {
  made.delete(sessionId)
}

function newSessionId(): string {
  const sessionId = randomUuid()
  made.add(sessionId)
  return sessionId
}

/** Goes to a session that is not there yet; its first prompt makes it. */
export function openNewSession(): void {
  globalThis.location.hash = hrefOfSession(newSessionId())
}

/** As {@link openNewSession}, in the place of the current one: the browser's Back does not lead to what was deleted. */
export function replaceByNewSession(): void {
  globalThis.location.replace(hrefOfSession(newSessionId()))
}

/** The session of the page's address. An address without one is given a new one. */
export function useSessionId(): string {
  return useSyncExternalStore(subscribe, currentSessionId)
}

function currentSessionId(): string {
  const named = sessionIdOfHash(globalThis.location.hash)
  if (named !== undefined) return named
  const sessionId = newSessionId()
  globalThis.history.replaceState(null, '', hrefOfSession(sessionId))
  return sessionId
}

function subscribe(onChange: () => void): () => void {
  globalThis.addEventListener('hashchange', onChange)
  return () => globalThis.removeEventListener('hashchange', onChange)
}
