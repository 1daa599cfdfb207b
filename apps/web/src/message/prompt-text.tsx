import { textOf } from '@verbatim/client'
import { useVerbatim } from '@verbatim/client/react'
import { useState } from 'react'
import { AttachedFiles } from './attached-files.tsx'
import type { ChatMessage } from './chat-message.ts'

/** A prompt over this many characters or lines is folded: what one pasted is known, and the answer is not. */
const foldedFrom = { characters: 1_500, lines: 20 }

/** What a person said, as it was typed. */
export function PromptText({ message }: { message: ChatMessage }) {
  const text = textOf(message.content)
  const isLong = text.length > foldedFrom.characters || text.split('\n').length > foldedFrom.lines
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <AttachedFiles content={message.content} />
      {text !== '' && (
        // The text has its own direction. Its bubble stands where the page's prompts stand.
        <div className="prompt" data-folded={isLong && !isOpen}>
          <p dir="auto">{isLong && !isOpen ? text.slice(0, foldedFrom.characters) : text}</p>
        </div>
      )}
      {isLong && (
        <button
          type="button"
          className="quiet-button prompt-note"
          onClick={() => setOpen(!isOpen)}
          aria-expanded={isOpen}
        >
          {isOpen ? 'Show less' : 'Show all of it'}
        </button>
      )}
      {message.status === 'queued' && message.runId !== null && <Queued runId={message.runId} />}
    </>
  )
}

/** A prompt that waits for its turn can still be taken back. */
function Queued({ runId }: { runId: string }) {
  const client = useVerbatim()
  const [state, setState] = useState<'waiting' | 'leaving' | 'stuck'>('waiting')
  const takeBack = () => {
    setState('leaving')
    client.runs.cancel(runId).catch(() => setState('stuck'))
  }
  return (
    <p className="prompt-note" data-testid="queued">
      {state === 'stuck' ? 'It could not be taken back. ' : 'Waits for the answer above. '}
      <button type="button" className="quiet-button" onClick={takeBack} disabled={state === 'leaving'}>
        Take it back
      </button>
    </p>
  )
}
