import { textOf } from '@verbatim/client'
import { CopyButton } from './copy-button.tsx'
import { MetricsLine } from './metrics-line.tsx'
import { outcomeOf } from './outcome.ts'
import { OutcomeLine } from './outcome-line.tsx'
import type { ChatMessage } from './chat-message.ts'

interface AnswerFooterProps {
  readonly message: ChatMessage
  readonly onRegenerate?: (() => void) | undefined
  readonly onGoOn?: (() => void) | undefined
}

/** Under a finished answer: how it ended, what it took, what can be done with it. */
export function AnswerFooter({ message, onRegenerate, onGoOn }: AnswerFooterProps) {
  const outcome = outcomeOf(message)
  const text = textOf(message.content)
  return (
    <footer className="answer-footer">
      {outcome !== null && <OutcomeLine outcome={outcome} runId={message.runId} />}
      {message.metrics !== null && <MetricsLine metrics={message.metrics} />}
      <div className="answer-actions">
        {text !== '' && <CopyButton textOf={() => text} what="the answer" />}
        {outcome === 'cut' && onGoOn !== undefined && (
          <button type="button" className="quiet-button" onClick={onGoOn} data-testid="go-on">
            Continue
          </button>
        )}
        {onRegenerate !== undefined && (
          <button type="button" className="quiet-button" onClick={onRegenerate} data-testid="regenerate">
            {outcome === null || outcome === 'cut' ? 'Ask again' : 'Try again'}
          </button>
        )}
      </div>
    </footer>
  )
}
