/** Adds to an agent's words what frames a model's answer, so that the log, the clients and the next model read one language. */
import type { AgentEvent } from '../contract/event.ts'
import type { AgentPing } from '../ports/agent.ts'

/** One piece of an answer: text, an event of a model call, or a sign of life. */
export type AgentChunk = string | AgentEvent | AgentPing

/** A model call that has begun. */
interface Call {
  /** The blocks that are open: the agent's index of each, and its place in the call. */
  readonly places: Map<number, number>
  /** The place of the block that plain text goes on in. */
  textPlace: number | undefined
  nextPlace: number
  hasTools: boolean
  /** The agent has said itself how the call ends. */
  hasEnd: boolean
}

/**
 * Yields the events of `chunks`, and those that are missing around them.
 *
 * @throws Error when a piece is neither text nor an event, or goes on with a block that has not begun
 */
export async function* frameAnswer(
  chunks: AsyncIterable<AgentChunk>,
  { model }: { model: string },
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  let call: Call | undefined
  for await (const chunk of chunks) {
    if (typeof chunk !== 'string') requireEvent(chunk)
    if (chunk === '') continue
    if (call !== undefined && endsCall(chunk)) {
      yield* endOf(call)
      call = undefined
    }
    if (call === undefined && isOfCall(chunk)) {
      call = { places: new Map(), textPlace: undefined, nextPlace: 0, hasTools: false, hasEnd: false }
      if (!isType(chunk, 'message_start')) yield { type: 'message_start', message: { model, usage: {} } }
    }
    if (call !== undefined) yield* placed(call, chunk)
    else if (typeof chunk !== 'string' && !isType(chunk, 'message_stop', 'content_block_stop')) yield chunk
  }
  if (call !== undefined) yield* endOf(call)
}

function requireEvent(chunk: unknown): void {
  if (typeof chunk === 'object' && chunk !== null && 'type' in chunk) return // the engine checks the rest
  throw new TypeError(`An agent yields text or events; this one has yielded ${chunk === null ? 'null' : typeof chunk}`)
}

function isType(chunk: AgentChunk, ...types: readonly (AgentEvent | AgentPing)['type'][]): boolean {
  return typeof chunk !== 'string' && types.includes(chunk.type)
}

function endsCall(chunk: AgentChunk): boolean {
  return isType(chunk, 'message_start', 'message_stop', 'tool_result')
}

const callEvents = [
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block',
  'message_delta',
] as const

function isOfCall(chunk: AgentChunk): boolean {
  return typeof chunk === 'string' || isType(chunk, ...callEvents)
}

/** The events of `chunk`, with the indexes that its blocks have beside those of plain text. */
function* placed(call: Call, chunk: AgentChunk): Generator<AgentEvent | AgentPing, void, void> {
  if (typeof chunk === 'string') return yield* plainText(call, chunk)
  switch (chunk.type) {
    case 'content_block_start':
      yield* endOfText(call)
      call.places.set(chunk.index, call.nextPlace)
      call.hasTools ||= chunk.content_block.type === 'tool_use'
      yield { ...chunk, index: call.nextPlace++ }
      return
    case 'content_block': {
      const begun = call.places.get(chunk.index)
      call.places.delete(chunk.index) // no stop follows
      if (begun === undefined) yield* endOfText(call)
      call.hasTools ||= chunk.content_block.type === 'tool_use'
      yield { ...chunk, index: begun ?? call.nextPlace++ }
      return
    }
    case 'content_block_delta': {
      const index = call.places.get(chunk.index)
      if (index !== undefined) yield { ...chunk, index }
      else if (chunk.delta.type === 'text_delta') yield* plainText(call, chunk.delta.text)
      else throw new Error(`The agent goes on with block ${chunk.index}, which it has not begun`)
      return
    }
    case 'content_block_stop': {
      const index = call.places.get(chunk.index)
      call.places.delete(chunk.index)
      if (index !== undefined) yield { ...chunk, index }
      return
    }
    case 'message_delta':
      yield* endOfBlocks(call)
      call.hasEnd = true
      yield chunk
      return
    default:
      yield chunk
  }
}

function* plainText(call: Call, text: string): Generator<AgentEvent, void, void> {
  if (call.textPlace === undefined) {
    call.textPlace = call.nextPlace++
    yield { type: 'content_block_start', index: call.textPlace, content_block: { type: 'text', text: '' } }
  }
  yield { type: 'content_block_delta', index: call.textPlace, delta: { type: 'text_delta', text } }
}

function* endOfText(call: Call): Generator<AgentEvent, void, void> {
  if (call.textPlace !== undefined) yield { type: 'content_block_stop', index: call.textPlace }
  call.textPlace = undefined
}

function* endOfBlocks(call: Call): Generator<AgentEvent, void, void> {
  yield* endOfText(call)
  for (const index of call.places.values()) yield { type: 'content_block_stop', index }
  call.places.clear()
}

function* endOf(call: Call): Generator<AgentEvent, void, void> {
  yield* endOfBlocks(call)
  if (!call.hasEnd) {
    const stop_reason = call.hasTools ? 'tool_use' : 'end_turn'
    yield { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: {} }
  }
  yield { type: 'message_stop' }
}
