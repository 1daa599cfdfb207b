import { useEffect, useRef } from 'react'
import type { ReactNode } from 'react'
import { CloseIcon, Mark, PlusIcon } from './icons.tsx'
import { useEscape } from './shortcuts.ts'

interface SidebarProps {
  /** Matters on narrow screens only, where the sidebar lies over the page. */
  readonly isOpen: boolean
  readonly onClose: () => void
  readonly onNew: () => void
  readonly children: ReactNode
}

/** The left side: the name, a new chat, the sessions. */
export function Sidebar({ isOpen, onClose, onNew, children }: SidebarProps) {
  useEscape(isOpen, onClose)
  const side = useRef<HTMLElement>(null)
  useEffect(() => {
    if (!isOpen) return
    const opener = document.activeElement
    return () => {
      // What is hidden keeps no focus, and it would be lost.
      const { activeElement, body } = document
      const isLost = activeElement === body || side.current?.contains(activeElement) === true
      if (isLost && opener instanceof HTMLElement) opener.focus()
    }
  }, [isOpen])
  return (
    <>
      <nav ref={side} className="sidebar" id="sidebar" data-open={isOpen} aria-label="Sessions">
        <header className="sidebar-head">
          <Mark />
          <span className="wordmark">Verbatim</span>
          <button type="button" className="icon-button only-narrow" onClick={onClose} aria-label="Close the sessions">
            <CloseIcon />
          </button>
        </header>
        <button type="button" className="new-chat" onClick={onNew} data-testid="new-chat">
          <PlusIcon />
          New chat
        </button>
        {children}
      </nav>
      {/* A larger target for pointers; the keyboard has Escape and the button above. */}
      <div className="backdrop" data-open={isOpen} onClick={onClose} aria-hidden="true" />
    </>
  )
}
