import { isTerminalEvent } from '@verbatim/core'
import type { EventBatch, RunEvent, TerminalEvent } from '@verbatim/core'

/** The answer's text in `batch`: all of a run's, joined, are the text of its message. */
export function textOfBatch({ events }: EventBatch): string {
  return events.map(textOfEvent).join('')
}

/** The event that ends the run, when `batch` holds it. It is the last one. */
export function terminalOf({ events }: EventBatch): TerminalEvent | undefined {
  const last = events.at(-1)
  return last !== undefined && isTerminalEvent(last) ? last : undefined
}

function textOfEvent(event: RunEvent): string {
  if (event.type === 'content_block_delta') return event.delta.type === 'text_delta' ? event.delta.text : ''
  if (event.type === 'content_block_start') return event.content_block.type === 'text' ? event.content_block.text : ''
  return ''
}
