import type { AgentEvent, ContentDelta } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'

type DeltaEvent = Extract<AgentEvent, { type: 'content_block_delta' }>

/**
 * A character outside the basic plane may be cut between two deltas of a block. Half of one does not survive storage, so it is
 * held back until its other half comes; a half that stays alone becomes U+FFFD, here and in every other event.
 */
export async function* joinSurrogates(
  events: AsyncIterable<AgentEvent | AgentPing>,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  let held: { readonly event: DeltaEvent; readonly half: string } | undefined
  for await (const event of events) {
    if (event.type === 'ping') {
      yield event
      continue
    }
    const text = event.type === 'content_block_delta' ? textOfDelta(event.delta) : undefined
    if (held !== undefined && !goesOn(held.event, event)) {
      yield { ...held.event, delta: withText(held.event.delta, replacement) }
      held = undefined
    }
    if (event.type !== 'content_block_delta' || text === undefined) {
      yield toWellFormed(event)
      continue
    }
    const joined: string = (held?.half ?? '') + text
    held = endsInHighSurrogate(joined) ? { event, half: joined.slice(-1) } : undefined
    const whole = (held === undefined ? joined : joined.slice(0, -1)).toWellFormed()
    if (whole !== '') yield { ...event, delta: withText(event.delta, whole) }
  }
  if (held !== undefined) yield { ...held.event, delta: withText(held.event.delta, replacement) }
}

const replacement = '\ufffd'

/** True when `event` goes on with the text of `held`. */
function goesOn(held: DeltaEvent, event: AgentEvent): boolean {
  return event.type === held.type && event.index === held.index && event.delta?.type === held.delta.type
}

/** `event` with every half character in its strings replaced; almost always the same object. */
function toWellFormed(event: AgentEvent): AgentEvent {
  const json = JSON.stringify(event)
  if (!json?.includes('\\ud')) return event // JSON.stringify escapes halves only
  return JSON.parse(json, (_key, value: unknown) =>
    typeof value === 'string' ? value.toWellFormed() : value,
  ) as AgentEvent // the same shape
}

/** The part of a delta that a character may be cut in; undefined when it has none. */
function textOfDelta(delta: ContentDelta): string | undefined {
  // An agent's event is validated only after this step.
  switch (delta?.type) {
    case 'text_delta':
      return delta.text
    case 'thinking_delta':
      return delta.thinking
    case 'input_json_delta':
      return delta.partial_json
    default:
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
