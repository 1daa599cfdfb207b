import { useCallback, useEffect, useState } from 'react'
import { ChatView } from '../chat/chat-view.tsx'
import { SessionList } from '../session/session-list.tsx'
import { openNewSession, useSessionId } from '../session/session-route.ts'
import { useSessionList } from '../session/use-session-list.ts'
import { DemoBanner } from './demo-banner.tsx'
import { Sidebar } from './sidebar.tsx'
import { TopBar } from './top-bar.tsx'
import { useServerConfig } from './server-config.ts'

/** The page: the sessions on the left, one of them in the middle. */
export function App() {
  const sessionId = useSessionId()
  const list = useSessionList()
  const config = useServerConfig(list.status === 'ready')
  const [isMenuOpen, setMenuOpen] = useState(false)
  const closeMenu = useCallback(() => setMenuOpen(false), [])
  const title = list.sessions.find((session) => session.id === sessionId)?.title ?? null
  useEffect(() => {
    document.title = title === null ? 'Verbatim' : `${title} · Verbatim`
  }, [title])

  const startNew = useCallback(() => {
    openNewSession()
    setMenuOpen(false)
  }, [])

  const { remove } = list
  const deleteSession = useCallback(
    (id: string) => {
      // Only the current one can be deleted: the page leaves it first.
      openNewSession()
      remove(id)
    },
    [remove],
  )

  return (
    <div className="app">
      <Sidebar isOpen={isMenuOpen} onClose={closeMenu} onNew={startNew}>
        <SessionList list={list} currentId={sessionId} onPick={closeMenu} onDelete={deleteSession} />
      </Sidebar>
      <div className="stage">
        <TopBar title={title} isMenuOpen={isMenuOpen} onMenu={() => setMenuOpen(true)} onNew={startNew} />
        {config?.isDemo === true && <DemoBanner switchCommand={config.switchCommand} />}
        <ChatView key={sessionId} sessionId={sessionId} onChange={list.refresh} />
      </div>
    </div>
  )
}
