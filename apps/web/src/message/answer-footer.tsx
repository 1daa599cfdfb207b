import { textOf } from '@verbatim/client'
import { CopyButton } from './copy-button.tsx'
import { MetricsLine } from './metrics-line.tsx'
import { OutcomeLine } from './outcome-line.tsx'
import type { ChatMessage } from './chat-message.ts'

interface AnswerFooterProps {
  readonly message: ChatMessage
  readonly onRegenerate?: (() => void) | undefined
}

/** Under a finished answer: how it ended, what it took, what can be done with it. */
export function AnswerFooter({ message, onRegenerate }: AnswerFooterProps) {
  const text = textOf(message.content)
  return (
    <footer className="answer-footer">
      <OutcomeLine message={message} />
      {message.metrics !== null && <MetricsLine metrics={message.metrics} />}
      <div className="answer-actions">
        {text !== '' && <CopyButton textOf={() => text} what="the answer" />}
        {onRegenerate !== undefined && (
          <button type="button" className="quiet-button" onClick={onRegenerate} data-testid="regenerate">
            {message.status === 'completed' ? 'Ask again' : 'Try again'}
          </button>
        )}
      </div>
    </footer>
  )
}
