import type { UseChatResult } from '@verbatim/client/react'
import type { RefObject } from 'react'
import { MessageItem } from '../message/message-item.tsx'
import { useEarlierMessages } from './use-earlier-messages.ts'

interface MessageListProps {
  readonly chat: UseChatResult
  readonly scroller: RefObject<HTMLElement | null>
  readonly onRegenerate: () => void
  readonly onGoOn: () => void
}

/** The messages, oldest first. Read out when an answer is whole, not token by token. */
export function MessageList({ chat, scroller, onRegenerate, onGoOn }: MessageListProps) {
  const { messages, status, hasOlder } = chat
  const isIdle = status === 'idle'
  const last = messages.at(-1)
  const { edge, list, isLoading, load } = useEarlierMessages(chat, scroller)
  return (
    <>
      {hasOlder && (
        <div ref={edge} className="older">
          {isLoading ? (
            <p role="status">Loading earlier messages</p>
          ) : (
            <button type="button" className="link-button" onClick={load} data-testid="older">
              Show earlier messages
            </button>
          )}
        </div>
      )}
      <div role="log" aria-label="Messages" aria-live="polite" aria-busy={!isIdle || isLoading}>
        <ol className="messages" ref={list}>
          {messages.map((message) => {
            const isOpen = isIdle && message === last && message.role === 'assistant'
            return (
              <MessageItem
                key={message.key}
                message={message}
                onRegenerate={isOpen ? onRegenerate : undefined}
                onGoOn={isOpen ? onGoOn : undefined}
              />
            )
          })}
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
