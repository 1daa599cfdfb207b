import { useCallback, useEffect, useRef, useState } from 'react'
import type { RefObject } from 'react'

/** How near to the end counts as being there, in pixels. */
const nearPx = 32

export interface StickToEnd {
  readonly scroller: RefObject<HTMLDivElement | null>
  readonly content: RefObject<HTMLDivElement | null>
  readonly isAtEnd: boolean
  readonly goToEnd: () => void
}

/** Keeps the end in view while the content grows, until the user scrolls up; scrolling back down takes hold again. */
export function useStickToEnd(): StickToEnd {
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const isStuck = useRef(true)
  const [isAtEnd, setAtEnd] = useState(true)

  const stick = useCallback((isNowStuck: boolean) => {
    isStuck.current = isNowStuck
    setAtEnd(isNowStuck)
  }, [])
  const goToEnd = useCallback(() => {
    stick(true)
    if (scroller.current !== null) scrollToEnd(scroller.current)
  }, [stick])

  useEffect(() => {
    const box = scroller.current
    if (box === null || content.current === null) return
    const stopListening = onUserScroll(box, stick)
    const observer = new ResizeObserver(() => {
      if (isStuck.current) scrollToEnd(box)
    })
    observer.observe(content.current)
    observer.observe(box)
    return () => {
      stopListening()
      observer.disconnect()
    }
  }, [stick])

  return { scroller, content, isAtEnd, goToEnd }
}

function scrollToEnd(box: HTMLElement): void {
  box.scrollTop = box.scrollHeight
}

/** The view stops sticking at any step up, however small, and sticks again only at the end. */
function onUserScroll(box: HTMLElement, onStick: (isStuck: boolean) => void): () => void {
  let last = box.scrollTop
  const onScroll = () => {
    const toEnd = box.scrollHeight - box.clientHeight - box.scrollTop
    if (box.scrollTop < last && toEnd > 1) onStick(false)
    else if (box.scrollTop > last && toEnd < nearPx) onStick(true)
    last = box.scrollTop
  }
  box.addEventListener('scroll', onScroll, { passive: true })
  return () => box.removeEventListener('scroll', onScroll)
}
