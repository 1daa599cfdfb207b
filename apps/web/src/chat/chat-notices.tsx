import type { UseChatResult } from '@verbatim/client/react'
import { errorMessage } from './error-message.ts'

interface ChatNoticesProps {
  readonly chat: UseChatResult
  readonly onRetry: () => void
}

/** What the user should know that no message says: the connection's state, and what went wrong. */
export function ChatNotices({ chat, onRetry }: ChatNoticesProps) {
  const { status, error, messages } = chat
  const last = messages.at(-1)?.status
  // A failed answer says so itself.
  const isSaid = status === 'idle' && (last === 'failed' || last === 'interrupted')
  return (
    <>
      <p className="chat-status" role="status" data-testid="status" data-status={status}>
        {statusMessage(chat)}
      </p>
      {error !== null && !isSaid && (
        <div className="error-notice" role="alert" data-testid="error">
          <p>{errorMessage(error)}</p>
          <button type="button" className="quiet-button" onClick={onRetry} data-testid="retry">
            Try again
          </button>
        </div>
      )}
    </>
  )
}

function statusMessage({ status, error }: UseChatResult): string {
  if (status === 'reconnecting') return 'Reconnecting. Nothing that was written is lost.'
  if (status === 'loading' && error === null) return 'Loading'
  return ''
}
