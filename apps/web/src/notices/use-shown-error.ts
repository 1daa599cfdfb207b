import type { UseChatResult } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import type { ChatError } from '../message/chat-message.ts'

/** How long a limit is shown that does not say when it ends, in milliseconds. */
const limitMs = 30_000

/** The chat's error, until its cause is gone: the limit's time is over, the other answer is done, the text is another one. */
export function useShownError({ error, status }: UseChatResult, text: string): ChatError | null {
  const [gone, setGone] = useState<ChatError | null>(null)
  const [seen, setSeen] = useState({ error, status, text })
  if (seen.error !== error) setSeen({ error, status, text })
  else if (seen.status !== status || seen.text !== text) {
    if (error !== null && isMended(error, seen, { status, text })) setGone(error)
    setSeen({ error, status, text })
  }
  useEffect(() => {
    if (error?.code !== 'RATE_LIMITED' && error?.code !== 'OVERLOADED') return
    const timer = setTimeout(() => setGone(error), error.data.retryAfterMs ?? limitMs)
    return () => clearTimeout(timer)
  }, [error])
  return error === gone ? null : error
}

interface Seen {
  readonly status: UseChatResult['status']
  readonly text: string
}

/** Tells whether the error's cause is gone, by what the user saw before and sees now. */
export function isMended(error: ChatError, before: Seen, now: Seen): boolean {
  switch (error.code) {
    case 'SESSION_BUSY':
      return before.status !== 'idle' && now.status === 'idle'
    case 'UNAVAILABLE':
      // The answer goes on: the server is there again.
      return before.status === 'reconnecting' && now.status !== 'reconnecting'
    case 'MESSAGE_TOO_LARGE':
    case 'PAYLOAD_TOO_LARGE':
    case 'INVALID_INPUT':
      // The refused prompt comes back into an empty field.
      return before.text !== '' && now.text !== before.text
    default:
      return false
  }
}
