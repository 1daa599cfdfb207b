import { textOf } from '@verbatim/client'
import { memo } from 'react'
import type { ChatMessage } from './chat-message.ts'
import { AnswerFooter } from './answer-footer.tsx'
import { DataList } from './data-list.tsx'
import { MessageContent } from './message-content.tsx'
import { PromptText } from './prompt-text.tsx'

interface MessageItemProps {
  readonly message: ChatMessage
  /** Asks again; given on the newest answer only. */
  readonly onRegenerate?: (() => void) | undefined
  /** Has the model go on; given on the newest answer only. */
  readonly onGoOn?: (() => void) | undefined
}

/** One message. A finished one is the same object in every render, so it is drawn once. */
export const MessageItem = memo(function MessageItem({ message, ...actions }: MessageItemProps) {
  const { role, status, content, continuationOf } = message
  if (role === 'user' && continuationOf !== null) return <Seam text={textOf(content)} />
  return (
    <li
      className="message"
      data-testid="message"
      data-role={role}
      data-status={status}
      aria-busy={status === 'streaming'}
    >
      <span className="visually-hidden">{role === 'user' ? 'You said:' : 'The answer:'}</span>
      {role === 'user' ? <PromptText message={message} /> : <Answer message={message} {...actions} />}
    </li>
  )
})

/** Where an answer was interrupted and goes on: what the server then asked, folded, because no person said it. */
function Seam({ text }: { text: string }) {
  return (
    <li className="message" data-testid="seam">
      <details className="fold">
        <summary>The answer was interrupted and went on</summary>
        <div className="fold-body fold-text">{text}</div>
      </details>
    </li>
  )
}

function Answer({ message, ...actions }: MessageItemProps) {
  const isStreaming = message.status === 'streaming'
  return (
    <div className="answer" data-testid="answer">
      <MessageContent content={message.content} isStreaming={isStreaming} />
      <DataList parts={message.data} />
      {isStreaming ? (
        <Waiting isFirst={message.content.length === 0} />
      ) : (
        <AnswerFooter message={message} {...actions} />
      )}
    </div>
  )
}

/** Shows that more is to come: three dots before the first content, a quiet caret after it. */
function Waiting({ isFirst }: { isFirst: boolean }) {
  return <span className={isFirst ? 'dots' : 'caret'} aria-hidden="true" />
}
