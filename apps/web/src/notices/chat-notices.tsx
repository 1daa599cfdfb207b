import type { UseChatResult } from '@verbatim/client/react'
import { openNewSession } from '../session/session-route.ts'
import { errorMessage } from './error-message.ts'
import { useIsOnline } from './use-is-online.ts'
import { useShownError } from './use-shown-error.ts'

interface ChatNoticesProps {
  readonly chat: UseChatResult
  /** What is in the field: some errors are mended there. */
  readonly text: string
  readonly onRetry: () => void
}

/** What the user should know that no message says: the connection's state, and what went wrong. */
export function ChatNotices({ chat, text, onRetry }: ChatNoticesProps) {
  const isOnline = useIsOnline()
  const { status, messages } = chat
  const error = useShownError(chat, text)
  const last = messages.at(-1)?.status
  // A failed answer says so itself, and while the browser is offline the line above says why.
  const isSaid = (status === 'idle' && (last === 'failed' || last === 'interrupted')) || !isOnline
  return (
    <>
      <p className="chat-status" role="status" data-testid="status" data-status={isOnline ? status : 'offline'}>
        {isOnline ? statusMessage(chat) : 'You are offline. Nothing is lost: all goes on when you are back.'}
      </p>
      {error !== null && !isSaid && (
        <div className="error-notice" role="alert" data-testid="error">
          <p>{errorMessage(error)}</p>
          {error.code === 'SESSION_DELETED' ? (
            <button type="button" className="quiet-button" onClick={openNewSession}>
              New chat
            </button>
          ) : (
            <button type="button" className="quiet-button" onClick={onRetry} data-testid="retry">
              Try again
            </button>
          )}
        </div>
      )}
    </>
  )
}

function statusMessage({ status, error, retrying }: UseChatResult): string {
  if (status === 'reconnecting') return 'Reconnecting. Nothing that was written is lost.'
  if (retrying !== null) return `The model is busy. Asking it again (attempt ${retrying.attempt + 1}).`
  if (status === 'loading' && error === null) return 'Loading'
  return ''
}
