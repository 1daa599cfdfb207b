import type { UseChatResult } from '@verbatim/client/react'
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react'
import type { RefObject } from 'react'

/** How long before the user reaches the top the earlier messages are asked for, in pixels. */
const ahead = '800px'

export interface EarlierMessages {
  /** What stands above the oldest message. */
  readonly edge: RefObject<HTMLDivElement | null>
  readonly list: RefObject<HTMLOListElement | null>
  readonly isLoading: boolean
  /** Asks again after a failure. */
  readonly load: () => void
}

/** Loads the earlier messages when the user comes near to them, and keeps what the user reads where it is. */
export function useEarlierMessages(
  { messages, hasOlder, loadOlder }: UseChatResult,
  scroller: RefObject<HTMLElement | null>,
): EarlierMessages {
  const edge = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLOListElement>(null)
  const [isLoading, setLoading] = useState(false)
  const oldest = messages[0]?.key
  const load = useCallback(() => {
    setLoading(true)
    void loadOlder().finally(() => setLoading(false))
  }, [loadOlder])

  useEffect(() => {
    if (!hasOlder || edge.current === null) return
    const onNear: IntersectionObserverCallback = (entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) load()
    }
    const observer = new IntersectionObserver(onNear, { root: scroller.current, rootMargin: `${ahead} 0px 0px` })
    observer.observe(edge.current)
    return () => observer.disconnect()
    // Observed anew after each page: a short one leaves the edge in sight.
  }, [hasOlder, oldest, load, scroller])

  useKeptPlace({ scroller, list, oldest })
  return { edge, list, isLoading, load }
}

interface KeptPlace {
  readonly scroller: RefObject<HTMLElement | null>
  readonly list: RefObject<HTMLOListElement | null>
  readonly oldest: string | undefined
}

/** After messages came above, scrolls by as much as they moved the message that was the first. */
function useKeptPlace({ scroller, list, oldest }: KeptPlace): void {
  const before = useRef<{ readonly first: Element; readonly offset: number }>(undefined)
  useLayoutEffect(() => {
    const box = scroller.current
    const first = list.current?.firstElementChild
    if (box === null || first === null || first === undefined) return
    const known = before.current
    if (known?.first.isConnected === true && known.first !== first) {
      box.scrollTop += offsetIn(box, known.first) - known.offset
    }
    before.current = { first, offset: offsetIn(box, first) }
  }, [scroller, list, oldest])
}

function offsetIn(box: Element, inner: Element): number {
  return inner.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop
}
