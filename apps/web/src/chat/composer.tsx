import { useRef } from 'react'
import type { KeyboardEvent } from 'react'
import { SendIcon } from '../page/icons.tsx'
import { AttachButton } from './attach-button.tsx'
import { ChosenFiles } from './chosen-files.tsx'
import { StopButton } from './stop-button.tsx'
import { isTouch, useFittingHeight, useFocusAtFirst, useFocusWhenLost } from './text-field.ts'
import type { Attachments } from './use-attachments.ts'
import type { Prompt } from './use-prompt.ts'

interface ComposerProps {
  readonly prompt: Prompt
  readonly attachments: Attachments
  readonly onStop: () => Promise<void>
}

/** The field to write in. Enter sends, also while an answer is made: the prompt then waits for its turn. Shift+Enter begins a line. */
export function Composer({ prompt, attachments, onStop }: ComposerProps) {
  const { text, setText, send, isBusy, canSend } = prompt
  const field = useRef<HTMLTextAreaElement>(null)
  useFittingHeight(field, text)
  useFocusAtFirst(field)
  useFocusWhenLost(field, isBusy)
  // A button that was pressed goes away or is disabled, and would take the focus with it.
  const keepFocus = () => field.current?.focus()

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault()
        keepFocus()
        send()
      }}
    >
      <ChosenFiles attachments={attachments} />
      <AttachButton onFiles={attachments.add} />
      <textarea
        ref={field}
        rows={1}
        dir="auto"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onPaste={(event) => {
          const { files } = event.clipboardData
          // A copied part of a page is text with an image of it: the text is meant.
          if (files.length === 0 || event.clipboardData.types.includes('text/plain')) return
          event.preventDefault()
          attachments.add([...files])
        }}
        onKeyDown={(event) => onKey(event, prompt)}
        placeholder={isBusy ? 'Write the next message' : 'Write a message'}
        aria-label="Message"
        data-testid="composer"
      />
      {isBusy && <StopButton onStop={onStop} onPress={keepFocus} />}
      <button
        type="submit"
        className="round-button"
        disabled={!canSend}
        aria-label={isBusy ? 'Send after this answer' : 'Send'}
        data-testid="send"
      >
        <SendIcon />
      </button>
    </form>
  )
}

function onKey(event: KeyboardEvent, { text, send, recall }: Prompt): void {
  if (isComposing(event)) return
  if (event.key === 'ArrowUp' && text === '') {
    event.preventDefault()
    recall()
  }
  // On a touch keyboard Enter is the only way to begin a line; the button sends.
  if (event.key !== 'Enter' || event.shiftKey || isTouch()) return
  event.preventDefault()
  send()
}

/**
 * True while an input method composes a character: its Enter picks one. Safari ends the composition before it reports that
 * Enter, which then has the key code of an input method (UI Events, section 7.3.1).
 */
function isComposing({ nativeEvent, keyCode }: KeyboardEvent): boolean {
  return nativeEvent.isComposing || keyCode === 229
}
