import { useRef } from 'react'
import type { KeyboardEvent } from 'react'
import { SendIcon } from '../page/icons.tsx'
import { StopButton } from './stop-button.tsx'
import { useFittingHeight, useFocusAtFirst } from './text-field.ts'
import type { Prompt } from './use-prompt.ts'

interface ComposerProps {
  readonly prompt: Prompt
  readonly onStop: () => Promise<void>
}

/** The field to write in. Enter sends, Shift+Enter begins a line; while an answer is made one can write but not send. */
export function Composer({ prompt, onStop }: ComposerProps) {
  const { text, setText, send, isBusy } = prompt
  const field = useRef<HTMLTextAreaElement>(null)
  useFittingHeight(field, text)
  useFocusAtFirst(field)
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
      <textarea
        ref={field}
        rows={1}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => sendOnEnter(event, send)}
        placeholder="Write a message"
        aria-label="Message"
        data-testid="composer"
      />
      {isBusy && <StopButton onStop={onStop} onPress={keepFocus} />}
      <button
        type="submit"
        className="round-button"
        disabled={isBusy || text.trim() === ''}
        aria-label="Send"
        data-testid="send"
      >
        <SendIcon />
      </button>
    </form>
  )
}

/** Not while an input method composes a character: its Enter picks one. */
function sendOnEnter(event: KeyboardEvent, send: () => void): void {
  if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
  event.preventDefault()
  send()
}
