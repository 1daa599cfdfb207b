import type { UseChatResult } from '@verbatim/client/react'
import { MessageItem } from '../message/message-item.tsx'

interface MessageListProps {
  readonly chat: UseChatResult
  readonly onRegenerate: () => void
}

/** The messages, oldest first. Read out when an answer is whole, not token by token. */
export function MessageList({ chat, onRegenerate }: MessageListProps) {
  const { messages, status, hasOlder, loadOlder } = chat
  const isIdle = status === 'idle'
  const last = messages.at(-1)
  return (
    <>
      {hasOlder && (
        <button type="button" className="link-button older" onClick={() => void loadOlder()}>
          Show earlier messages
        </button>
      )}
      <div role="log" aria-label="Messages" aria-live="polite" aria-busy={!isIdle}>
        <ol className="messages">
          {messages.map((message) => (
            <MessageItem
              key={message.key}
              message={message}
              onRegenerate={isIdle && message === last && message.role === 'assistant' ? onRegenerate : undefined}
            />
          ))}
          {last?.role === 'user' && last.status !== 'queued' && !isIdle && (
            <li className="message" aria-hidden="true">
              <span className="dots" />
            </li>
          )}
        </ol>
      </div>
    </>
  )
}
