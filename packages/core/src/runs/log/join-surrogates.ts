import type { AgentEvent, ContentDelta } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'

type DeltaEvent = Extract<AgentEvent, { type: 'content_block_delta' }>

/** Providers open a few blocks at once. What is open beyond this gives up its half character. */
const maxOpenBlocks = 64

interface Held {
  readonly event: DeltaEvent
  readonly half: string
}

/** The events of one run on their way from its agent, see {@link createSurrogateJoin}. */
export interface SurrogateJoin {
  /** What `event` becomes: almost always itself. A sign of life is no event. */
  join(event: AgentEvent | AgentPing): readonly AgentEvent[]
  /** What is still held back when the agent has said all. */
  rest(): readonly AgentEvent[]
}

/**
 * A character outside the basic plane may be cut between two deltas of a block. Half of one does not survive storage, so it is
 * held back until its other half comes, also when other blocks speak between the two. A half that stays alone becomes U+FFFD,
 * here and in every other event.
 */
export function createSurrogateJoin(): SurrogateJoin {
  const held = new Map<number, Held>()
  return {
    join(event) {
      if (event.type === 'ping') return []
      // Data is of no block, and may come between the halves of a character.
      if (event.type === 'data' || (held.size === 0 && isWhole(event))) return [event]
      const joined: AgentEvent[] = endedBy(event, held).map((ended) => {
        held.delete(ended.event.index)
        return replaced(ended)
      })
      const next = joinOne(event, held)
      return next === undefined ? joined : [...joined, next]
    },
    rest: () => [...held.values()].map(replaced),
  }
}

/** The usual event: text without half a character, and not empty. */
function isWhole(event: AgentEvent): boolean {
  const text = event.type === 'content_block_delta' ? textOfDelta(event.delta) : undefined
  return text !== undefined && text !== '' && text.isWellFormed()
}

/** Undefined when all of the event is held back, or nothing is in it. */
function joinOne(event: AgentEvent, held: Map<number, Held>): AgentEvent | undefined {
  const text = event.type === 'content_block_delta' ? textOfDelta(event.delta) : undefined
  if (event.type !== 'content_block_delta' || text === undefined) return toWellFormed(event)
  const joined = (held.get(event.index)?.half ?? '') + text
  const isCut = endsInHighSurrogate(joined)
  if (isCut) held.set(event.index, { event, half: joined.slice(-1) })
  else held.delete(event.index)
  const whole = (isCut ? joined.slice(0, -1) : joined).toWellFormed()
  return whole === '' ? undefined : { ...event, delta: withText(event.delta, whole) }
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
