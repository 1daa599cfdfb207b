import type { UseChatResult } from '@verbatim/client/react'
import { useCallback, useState } from 'react'

/** The prompt that is being written, and what can be done with it. */
export interface Prompt {
  readonly text: string
  readonly setText: (text: string) => void
  readonly send: () => void
  /** True while the server makes an answer: the user can stop it, and cannot send. */
  readonly isBusy: boolean
  /** Does again what failed last. */
  readonly retry: () => void
  readonly regenerate: () => void
}

/** Keeps the text until its prompt is safe with the server: a refused one comes back into the field. */
export function usePrompt(chat: UseChatResult, onSent: () => void): Prompt {
  const [text, setText] = useState('')
  const { send: sendPrompt, regenerate: askAgain, refresh, status } = chat
  const isBusy = status === 'starting' || status === 'streaming' || status === 'reconnecting'

  const send = useCallback(() => {
    if (text.trim() === '' || isBusy) return
    setText('')
    onSent()
    void sendPrompt(text).then((isTaken) => {
      if (!isTaken) setText((newer) => (newer === '' ? text : `${text}\n\n${newer}`))
    })
  }, [text, isBusy, onSent, sendPrompt])

  const regenerate = useCallback(() => {
    onSent()
    void askAgain()
  }, [askAgain, onSent])

  const retry = useCallback(() => {
    if (status === 'loading') void refresh()
    else if (text.trim() !== '') send()
    else regenerate()
  }, [status, refresh, text, send, regenerate])

  return { text, setText, send, isBusy, retry, regenerate }
}
