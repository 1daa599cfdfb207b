import { useChat } from '@verbatim/client/react'
import { useCallback, useState } from 'react'
import { DownIcon, Mark } from '../page/icons.tsx'
import { useEscape } from '../page/shortcuts.ts'
import { isNewSession, startSession } from '../session/session-route.ts'
import { ChatNotices } from '../notices/chat-notices.tsx'
import { Composer } from './composer.tsx'
import { MessageList } from './message-list.tsx'
import { useAttachments } from './use-attachments.ts'
import { useFileDrop } from './use-file-drop.ts'
import { usePrompt } from './use-prompt.ts'
import { useStickToEnd } from './use-stick-to-end.ts'

interface ChatViewProps {
  readonly sessionId: string
  readonly title: string | null
  /** Which model answers; null when the server has not said it. */
  readonly model: string | null
}

/** One session: its messages, and the field to talk in. */
export function ChatView({ sessionId, title, model }: ChatViewProps) {
  const [isNew] = useState(() => isNewSession(sessionId))
  const chat = useChat(sessionId, { isNew })
  const { messages, status } = chat
  const { scroller, content, isAtEnd, goToEnd } = useStickToEnd()
  const attachments = useAttachments()
  const drop = useFileDrop(attachments.add)
  const onSent = useCallback(() => {
    startSession(sessionId)
    goToEnd()
  }, [sessionId, goToEnd])
  const prompt = usePrompt(chat, { sessionId, onSent, attachments })
  const { stop } = chat
  useEscape(
    prompt.isBusy,
    useCallback(() => void stop(), [stop]),
  )

  return (
    <main className="chat" data-dropping={drop.isOver} {...drop.handlers}>
      <h1 className="visually-hidden">{title ?? 'New chat'}</h1>
      {/* In the tab order: an answer that has no links yet can be scrolled by keyboard only so. */}
      <div className="scroller" ref={scroller} tabIndex={0} role="region" aria-label="Conversation">
        <div className="column" ref={content}>
          {messages.length > 0 && (
            <MessageList chat={chat} scroller={scroller} onRegenerate={prompt.regenerate} onGoOn={prompt.goOn} />
          )}
          {messages.length === 0 && status === 'idle' && <EmptyState />}
        </div>
      </div>
      <div className="dock">
        <div className="column">
          {!isAtEnd && <JumpButton onJump={goToEnd} />}
          <ChatNotices chat={chat} text={prompt.text} onRetry={prompt.retry} />
          <Composer prompt={prompt} attachments={attachments} onStop={chat.stop} />
          {model !== null && (
            <p className="model-note" data-testid="model">
              {model} answers. It can be wrong: check what matters.
            </p>
          )}
        </div>
      </div>
    </main>
  )
}

function EmptyState() {
  return (
    <div className="empty-state" data-testid="empty">
      <Mark />
      <p>Ask anything. You can reload, leave or lose the connection: the answer goes on.</p>
    </div>
  )
}

/** Leads back to the end after the user has scrolled up. */
function JumpButton({ onJump }: { onJump: () => void }) {
  return (
    <button type="button" className="round-button jump-button" onClick={onJump} aria-label="Go to the newest message">
      <DownIcon />
    </button>
  )
}
