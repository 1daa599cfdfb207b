import { useEffect } from 'react'

/** Names the browser's tab after the session. */
export function useTitle(title: string | null): void {
  useEffect(() => {
    document.title = title === null ? 'Verbatim' : `${title} · Verbatim`
  }, [title])
}
