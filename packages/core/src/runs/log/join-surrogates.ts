import type { AgentEvent, ContentDelta } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'

type DeltaEvent = Extract<AgentEvent, { type: 'content_block_delta' }>

/** Providers open a few blocks at once. What is open beyond this gives up its half character. */
const maxOpenBlocks = 64

interface Held {
  readonly event: DeltaEvent
  readonly half: string
}

/**
 * A character outside the basic plane may be cut between two deltas of a block. Half of one does not survive storage, so it is
 * held back until its other half comes, also when other blocks speak between the two. A half that stays alone becomes U+FFFD,
 * here and in every other event.
 */
export async function* joinSurrogates(
  events: AsyncIterable<AgentEvent | AgentPing>,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const held = new Map<number, Held>()
  for await (const event of events) {
    // Data is of no block, and may come between the halves of a character.
    if (event.type === 'ping' || event.type === 'data') {
      yield event
      continue
    }
    for (const ended of endedBy(event, held)) {
      held.delete(ended.event.index)
      yield replaced(ended)
    }
    const text = event.type === 'content_block_delta' ? textOfDelta(event.delta) : undefined
    if (event.type !== 'content_block_delta' || text === undefined) {
      yield toWellFormed(event)
      continue
    }
    const joined = (held.get(event.index)?.half ?? '') + text
    const isCut = endsInHighSurrogate(joined)
    if (isCut) held.set(event.index, { event, half: joined.slice(-1) })
    else held.delete(event.index)
    const whole = (isCut ? joined.slice(0, -1) : joined).toWellFormed()
    if (whole !== '') yield { ...event, delta: withText(event.delta, whole) }
  }
  for (const ended of held.values()) yield replaced(ended)
}

const replacement = '\ufffd'

/** The halves that `event` leaves alone: it ends their block, begins another kind of text in it, or belongs to no block. */
function endedBy(event: AgentEvent, held: ReadonlyMap<number, Held>): Held[] {
  if (held.size === 0) return []
  if (!('index' in event)) return [...held.values()]
  const own = held.get(event.index)
  if (own !== undefined) return goesOn(own.event, event) ? [] : [own]
  const isCut = event.type === 'content_block_delta' && endsInHighSurrogate(textOfDelta(event.delta) ?? '')
  return isCut && held.size === maxOpenBlocks ? [...held.values()].slice(0, 1) : []
}

function goesOn(held: DeltaEvent, event: AgentEvent): boolean {
  return event.type === held.type && event.delta?.type === held.delta.type
}

function replaced({ event }: Held): DeltaEvent {
  return { ...event, delta: withText(event.delta, replacement) }
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
