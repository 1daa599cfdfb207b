import { useChat } from '@verbatim/client/react'
import { useEffect } from 'react'
import { ChatNotices } from './chat-notices.tsx'
import { Composer } from './composer.tsx'
import { EmptyState } from './empty-state.tsx'
import { JumpButton } from './jump-button.tsx'
import { MessageList } from './message-list.tsx'
import { usePrompt } from './use-prompt.ts'
import { useStickToEnd } from './use-stick-to-end.ts'

interface ChatViewProps {
  readonly sessionId: string
  /** Called when the session was loaded and when an answer has begun or ended: its entry in the list may be another now. */
  readonly onChange: () => void
}

/** One session: its messages, and the field to talk in. */
export function ChatView({ sessionId, onChange }: ChatViewProps) {
  const chat = useChat(sessionId)
  const { messages, status } = chat
  const { scroller, content, isAtEnd, goToEnd } = useStickToEnd()
  const prompt = usePrompt(chat, goToEnd)
  const isLoading = status === 'loading'
  const isListedAsActive = status === 'streaming' || status === 'reconnecting'
  useEffect(onChange, [onChange, isLoading, isListedAsActive])

  return (
    <main className="chat">
      <div className="scroller" ref={scroller}>
        <div className="column" ref={content}>
          {messages.length > 0 && <MessageList chat={chat} onRegenerate={prompt.regenerate} />}
          {messages.length === 0 && status === 'idle' && <EmptyState />}
        </div>
      </div>
      <div className="dock">
        <div className="column">
          {!isAtEnd && <JumpButton onJump={goToEnd} />}
          <ChatNotices chat={chat} onRetry={prompt.retry} />
          <Composer prompt={prompt} status={status} onStop={chat.stop} />
        </div>
      </div>
    </main>
  )
}
