/** What was typed and not sent, per session. It outlives a reload of the tab and goes with it: another user of the browser never sees it. */
import { useCallback, useRef, useState } from 'react'

const prefix = 'verbatim:draft:'
const keyOf = (sessionId: string): string => prefix + sessionId

/** Removes all drafts of this tab: its user has left. */
export function forgetDrafts(): void {
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(prefix)) sessionStorage.removeItem(key)
  } catch {
    // A browser that keeps nothing.
  }
}

/** As `useState('')`, kept over reloads. */
export function useDraft(sessionId: string): [string, (next: string | ((text: string) => string)) => void] {
  const [text, setText] = useState(() => read(sessionId))
  const kept = useRef(text)
  const setDraft = useCallback(
    (next: string | ((text: string) => string)) => {
      // Not inside the update of the state: a prompt may be refused after its page was left, and still comes back here.
      kept.current = typeof next === 'string' ? next : next(kept.current)
      write(sessionId, kept.current)
      setText(kept.current)
    },
    [sessionId],
  )
  return [text, setDraft]
}

function read(sessionId: string): string {
  try {
    return sessionStorage.getItem(keyOf(sessionId)) ?? ''
  } catch {
    return '' // a browser that keeps nothing: the draft lives as long as the page
  }
}

function write(sessionId: string, text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(keyOf(sessionId))
    else sessionStorage.setItem(keyOf(sessionId), text)
  } catch {
    // As above; also when the text is more than the browser keeps.
  }
}
