import { useSessions } from '@verbatim/client/react'
import type { UseSessionsResult } from '@verbatim/client/react'
import { useCallback, useEffect, useRef, useState } from 'react'
import type { RefObject } from 'react'
import { ChatView } from '../chat/chat-view.tsx'
import { SessionList } from '../session/session-list.tsx'
import { openNewSession, useSessionId } from '../session/session-route.ts'
import { useCurrentSession } from '../session/use-current-session.ts'
import { DemoBanner } from './demo-banner.tsx'
import { ShortcutList } from './shortcut-list.tsx'
import { useShortcuts } from './shortcuts.ts'
import { SidebarFooter } from './sidebar-footer.tsx'
import { Sidebar } from './sidebar.tsx'
import { TopBar } from './top-bar.tsx'
import type { ServerConfig } from './server-config.ts'

interface AppProps {
  /** Null when the server has not said it. */
  readonly config: ServerConfig | null
  /** Given to a user who has signed in. */
  readonly onSignOut: (() => void) | undefined
}

/** The page: the sessions on the left, one of them in the middle. */
export function App({ config, onSignOut }: AppProps) {
  const sessionId = useSessionId()
  const list = useSessions()
  const [isMenuOpen, setMenuOpen] = useState(false)
  const closeMenu = useCallback(() => setMenuOpen(false), [])
  const title = useTitle(list, sessionId)

  const startNew = useCallback(() => {
    openNewSession()
    setMenuOpen(false)
  }, [])

  const searchField = useRef<HTMLInputElement>(null)
  const [areShortcutsShown, setShortcutsShown] = useState(false)
  const showShortcuts = () => setShortcutsShown(true)
  const onSearch = () => focusSearch(searchField, () => setMenuOpen(true))
  // An empty chat comes in its place, and the menu would lie over it.
  const session = useCurrentSession(list, sessionId, { onDeleted: closeMenu })
  const onRename = () => {
    if (isNarrow()) setMenuOpen(true)
    session.onRename()
  }
  useShortcuts({ onNew: startNew, onSearch, onShowShortcuts: showShortcuts, onRename, onDelete: session.onDelete })

  return (
    <div className="app">
      <Sidebar isOpen={isMenuOpen} onClose={closeMenu} onNew={startNew}>
        <SessionList list={list} currentId={sessionId} searchField={searchField} onPick={closeMenu} actions={session} />
        <SidebarFooter onShowShortcuts={showShortcuts} onSignOut={onSignOut} />
      </Sidebar>
      <div className="stage">
        <TopBar title={title} isMenuOpen={isMenuOpen} onMenu={() => setMenuOpen(true)} onNew={startNew} />
        {config?.isDemo === true && <DemoBanner switchCommand={config.switchCommand} />}
        <ChatView
          key={sessionId}
          sessionId={sessionId}
          title={title}
          // The banner says it of the demo model.
          model={config === null || config.isDemo ? null : config.model}
        />
      </div>
      <ShortcutList isOpen={areShortcutsShown} onClose={() => setShortcutsShown(false)} />
    </div>
  )
}

/** The title of a session, which is the page's too; null until it has one. */
function useTitle({ sessions }: UseSessionsResult, sessionId: string): string | null {
  const title = sessions.find((session) => session.id === sessionId)?.title ?? null
  useEffect(() => {
    document.title = title === null ? 'Verbatim' : `${title} · Verbatim`
  }, [title])
  return title
}

/** On narrow screens the field is in the menu, which must be there before it can have the focus. */
function focusSearch(field: RefObject<HTMLInputElement | null>, openMenu: () => void): void {
  // At once where it is there: the next key is meant for it.
  if (!isNarrow()) return field.current?.focus()
  openMenu()
  requestAnimationFrame(() => field.current?.focus())
}

function isNarrow(): boolean {
  return globalThis.matchMedia('(max-width: 48rem)').matches
}
