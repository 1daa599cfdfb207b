import type { AgentEvent, ContentDelta } from '../contract/event.ts'

/**
 * A character outside the basic plane may be cut between two deltas of a block. Half of one does not survive storage, so it is
 * held back until its other half comes; a half that stays alone becomes U+FFFD.
 */
export async function* joinSurrogates(events: AsyncIterable<AgentEvent>): AsyncGenerator<AgentEvent, void, void> {
  let held = ''
  for await (const event of events) {
    if (event.type === 'content_block_stop') held = ''
    const text = event.type === 'content_block_delta' ? textOfDelta(event.delta) : undefined
    if (event.type !== 'content_block_delta' || text === undefined) {
      yield event
      continue
    }
    const joined = held + text
    held = endsInHighSurrogate(joined) ? joined.slice(-1) : ''
    const whole = (held === '' ? joined : joined.slice(0, -1)).toWellFormed()
    if (whole !== '') yield { ...event, delta: withText(event.delta, whole) }
  }
}

/** The part of a delta that a character may be cut in; undefined when it has none. */
function textOfDelta(delta: ContentDelta): string | undefined {
  switch (delta.type) {
    case 'text_delta':
      return delta.text
    case 'thinking_delta':
      return delta.thinking
    case 'input_json_delta':
      return delta.partial_json
    case 'signature_delta':
    case 'citations_delta':
      return undefined
  }
}

function withText(delta: ContentDelta, text: string): ContentDelta {
  switch (delta.type) {
    case 'text_delta':
      return { ...delta, text }
    case 'thinking_delta':
      return { ...delta, thinking: text }
    case 'input_json_delta':
      return { ...delta, partial_json: text }
    case 'signature_delta':
    case 'citations_delta':
      return delta
  }
}

function endsInHighSurrogate(text: string): boolean {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff
}
