import { textOf } from '@verbatim/client'
import type { PromptInput } from '@verbatim/client'
import type { UseChatResult } from '@verbatim/client/react'
import { useCallback, useState } from 'react'
import { useDraft } from './draft.ts'
import { forget, toBlocks } from './use-attachments.ts'
import type { Attachments, ChosenFile } from './use-attachments.ts'

/** The prompt that is being written, and what can be done with it. */
export interface Prompt {
  readonly text: string
  readonly setText: (text: string) => void
  /** Sends; while an answer is made, the prompt waits for its turn. */
  readonly send: () => void
  /** True while the server makes an answer: the user can stop it. */
  readonly isBusy: boolean
  /** False for a moment after a prompt was sent, until it is safe with the server: the next one must not overtake it. */
  readonly canSend: boolean
  /** Brings the newest prompt back into the field. */
  readonly recall: () => void
  /** Does again what failed last. */
  readonly retry: () => void
  /** Asks again for the newest answer: as a whole when it is whole, and otherwise for the part that failed. */
  readonly regenerate: () => void
  /** Has the model go on after an answer that reached its greatest length: the rest comes in the same place. */
  readonly goOn: () => void
}

/** Keeps the text until its prompt is safe with the server: a refused one comes back into the field. */
export function usePrompt(
  chat: UseChatResult,
  { sessionId, onSent, attachments }: { sessionId: string; onSent: () => void; attachments: Attachments },
): Prompt {
  const [text, setText] = useDraft(sessionId)
  const [isSending, setSending] = useState(false)
  const { send: sendPrompt, regenerate: askAgain, retry: finish, continueAnswer, refresh, status, messages } = chat
  const isWhole = messages.at(-1)?.status === 'completed'
  const isBusy = status === 'starting' || status === 'streaming' || status === 'reconnecting'
  const { isReady, take, putBack } = attachments
  const hasFiles = toBlocks(attachments.files).length > 0
  const canSend = !isSending && isReady && (text.trim() !== '' || hasFiles)

  const send = useCallback(() => {
    if (!canSend) return
    const files = take()
    setText('')
    setSending(true)
    onSent()
    void sendPrompt(toPrompt(files, text), { whenBusy: 'queue' }).then((isTaken) => {
      setSending(false)
      if (isTaken) return files.forEach(forget)
      putBack(files)
      setText((newer) => (newer === '' ? text : `${text}\n\n${newer}`))
    })
  }, [text, canSend, onSent, sendPrompt, setText, take, putBack])

  const recall = useCallback(() => {
    const last = messages.findLast(({ role, continuationOf }) => role === 'user' && continuationOf === null)
    if (last !== undefined) setText(textOf(last.content))
  }, [messages, setText])

  const regenerate = useCallback(() => {
    onSent()
    void (isWhole ? askAgain() : finish())
  }, [isWhole, askAgain, finish, onSent])

  const goOn = useCallback(() => {
    onSent()
    void continueAnswer()
  }, [onSent, continueAnswer])

  const retry = useCallback(() => {
    if (status === 'loading') void refresh()
    else if (text.trim() !== '' || hasFiles) send()
    else regenerate()
  }, [status, refresh, text, hasFiles, send, regenerate])

  return { text, setText, send, isBusy, canSend, recall, retry, regenerate, goOn }
}

/** The files come first: models read a text about an image best after it. */
function toPrompt(files: readonly ChosenFile[], text: string): PromptInput {
  const blocks = toBlocks(files)
  if (blocks.length === 0) return text
  return text.trim() === '' ? blocks : [...blocks, { type: 'text', text }]
}
