import type { AgentEvent } from '../contract/event.ts'

/**
 * A character outside the basic plane may be cut between two text deltas. Half of one does not survive storage, so it is
 * held back until its other half comes; a half that stays alone becomes U+FFFD.
 */
export async function* joinSurrogates(events: AsyncIterable<AgentEvent>): AsyncGenerator<AgentEvent, void, void> {
  let held = ''
  for await (const event of events) {
    const isText = event.type === 'content_block_delta' && event.delta.type === 'text_delta'
    if (!isText) {
      yield event
      if (event.type === 'content_block_stop') held = ''
      continue
    }
    const text = held + textDelta(event)
    held = endsInHighSurrogate(text) ? text.slice(-1) : ''
    const whole = (held === '' ? text : text.slice(0, -1)).toWellFormed()
    if (whole !== '')
      yield { type: 'content_block_delta', index: event.index, delta: { type: 'text_delta', text: whole } }
  }
}

function textDelta(event: AgentEvent): string {
  return event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : ''
}

function endsInHighSurrogate(text: string): boolean {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff
}
