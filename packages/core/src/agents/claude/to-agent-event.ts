/**
 * The provider's stream events become ours, for one model call. Blocks of any type are kept: those that this version knows how to
 * stream are streamed, and all others come whole. Events and deltas of a later protocol are left out, except in a block that comes whole.
 * The blocks are numbered anew, so that no index is missing from the log. What a gateway gets nearly right is understood where it has one meaning; the rest is a typed error that names the field.
 */
import { z } from 'zod'
import { JsonValue } from '../../contract/json-value.ts'
import { OwnBlock } from '../../contract/content-block.ts'
import type { ContentBlock } from '../../contract/content-block.ts'
import type { AgentEvent, ContentDelta, ProviderUsage } from '../../contract/event.ts'
import { isProviderBlock, isTypedJson, ProviderBlock } from '../../contract/provider-block.ts'
import type { TypedJson } from '../../contract/provider-block.ts'
import { HeldBlock } from './held-block.ts'
import { malformed, providerError } from './map-provider-error.ts'

/** In place: a copy would lose what this version does not know. */
const Typed = z.custom<TypedJson>(isTypedJson, 'Invalid input: expected JSON with a type')
const Event = z.looseObject({ type: z.string() })
const index = z.int().nonnegative()
/** Text that may be missing: a gateway leaves out what is empty. */
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
/** A count that is no count is as good as none. */
const tokens = z.int().nonnegative().optional().catch(undefined)
const reason = z
  .string()
  .nullish()
  .transform((value) => (value ? value : null))

const Usage = z
  .object({
    input_tokens: tokens,
    output_tokens: tokens,
    cache_read_input_tokens: tokens,
    cache_creation_input_tokens: tokens,
  })
  .catch({})
  .transform((usage): ProviderUsage => withoutUndefined(usage))

/** Where the provider runs code: the next call of the same answer names it. */
const Container = z
  .object({ id: z.string().min(1) })
  .nullish()
  .catch(null)

const RawEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('message_start'),
    message: z.object({ model: text, usage: Usage, content: z.array(Typed).catch([]) }),
  }),
  z.object({ type: z.literal('content_block_start'), index, content_block: Typed }),
  z.object({ type: z.literal('content_block_delta'), index, delta: Typed }),
  z.object({ type: z.literal('content_block_stop'), index }),
  z.object({
    type: z.literal('message_delta'),
    delta: z.object({ stop_reason: reason, stop_sequence: reason, container: Container }),
    usage: Usage,
  }),
  z.object({ type: z.literal('message_stop') }),
])
type RawEvent = z.infer<typeof RawEvent>

const Block = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text, citations: z.array(JsonValue).nullish() }),
  z.object({ type: z.literal('thinking'), thinking: text, signature: text }),
  z.object({ type: z.literal('redacted_thinking'), data: text }),
  z.object({
    type: z.literal('tool_use'),
    id: text,
    name: z.string(),
    input: JsonValue.nullish().transform((value) => value ?? {}),
    caller: JsonValue.nullish(),
  }),
])

const Delta = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text_delta'), text }),
  z.object({ type: z.literal('input_json_delta'), partial_json: text }),
  z.object({ type: z.literal('thinking_delta'), thinking: text }),
  z.object({ type: z.literal('signature_delta'), signature: text }),
  z.object({ type: z.literal('citations_delta'), citation: JsonValue }),
])

const eventTypes = typesOf(RawEvent)
const blockTypes = typesOf(Block)
const deltaTypes = typesOf(Delta)

type RawBlock = TypedJson

/** A block of the provider's, and what became of it. */
interface OpenBlock {
  /** Our index; undefined for a block that is left out. */
  readonly at: number | undefined
  /** Of a block that comes whole. */
  readonly held?: HeldBlock
  isStopped: boolean
}

/** Translates the events of one model call, in their order. It throws `PROVIDER_ERROR` for one that breaks the protocol. */
export class EventMapper {
  readonly #defaultModel: string
  readonly #blocks = new Map<number, OpenBlock>()
  /** Content that came with `message_start`, by index. The blocks of the stream take its place. */
  readonly #early = new Map<number, RawBlock>()
  readonly #unstopped = new Set<number>()
  #hasBegun = false
  #hasStopReason = false
  #hasEnded = false
  #nextIndex = 0
  #container: string | undefined

  constructor(defaultModel: string) {
    this.#defaultModel = defaultModel
  }

  /** Our indexes of the blocks that the provider did not stop. */
  get unstopped(): ReadonlySet<number> {
    return this.#unstopped
  }

  /** The container that the provider ran code in, if it did. */
  get container(): string | undefined {
    return this.#container
  }

  map(raw: unknown): AgentEvent[] {
    const { type } = parse(Event, raw, 'event')
    if (!eventTypes.has(type) || this.#hasEnded) return []
    const event = parse(RawEvent, raw, type)
    if (event.type === 'message_start') return this.#begin(event)
    if (!this.#hasBegun) throw malformed('message_start')
    switch (event.type) {
      case 'content_block_start':
        return this.#startBlock(event.index, event.content_block)
      case 'content_block_delta':
        return this.#extendBlock(event)
      case 'content_block_stop':
        return [...this.#startEarly(event.index), ...stopBlock(this.#blockOf(event))]
      case 'message_delta':
        return this.#endCall(event)
      case 'message_stop':
        this.#hasEnded = true
        return [...this.#closeAll(), event]
    }
  }

  /** What is still to say when the provider's stream ends. @throws VerbatimError `PROVIDER_ERROR` (cut) when the answer is not whole */
  end(): AgentEvent[] {
    if (this.#hasEnded) return []
    // The stop reason comes when all has been said: what is missing after it is only the end.
    if (!this.#hasStopReason) throw providerError('cut')
    return this.map({ type: 'message_stop' })
  }

  #endCall({ type, usage, delta: { stop_reason, stop_sequence, container } }: RawEvent & { type: 'message_delta' }) {
    this.#container = container?.id ?? this.#container
    this.#hasStopReason ||= stop_reason !== null
    const event: AgentEvent = { type, delta: { stop_reason, stop_sequence }, usage }
    return this.#hasStopReason ? [...this.#closeAll(), event] : [event]
  }

  #begin({ message }: RawEvent & { type: 'message_start' }): AgentEvent[] {
    if (this.#blocks.size > 0) throw malformed('message_start')
    if (this.#hasBegun) return [] // said twice, and nothing between
    this.#hasBegun = true
    message.content.forEach((block, at) => this.#early.set(at, block))
    return [{ type: 'message_start', message: { model: message.model || this.#defaultModel, usage: message.usage } }]
  }

  #startBlock(rawIndex: number, raw: RawBlock): AgentEvent[] {
    this.#early.delete(rawIndex)
    // What is held and still open keeps its place before the block that begins.
    const before = [...this.#closeBlock(rawIndex), ...[...this.#blocks.values()].flatMap(takeHeld)]
    const content_block = toStreamedBlock(raw)
    if (content_block !== undefined) {
      const index = this.#open(rawIndex, { isStopped: false })
      return [...before, { type: 'content_block_start', index, content_block }]
    }
    if (isProviderBlock(raw)) {
      this.#open(rawIndex, { isStopped: false, held: new HeldBlock(raw) })
      return before
    }
    const whole = toMediaBlock(raw)
    if (whole === undefined) {
      this.#blocks.set(rawIndex, { at: undefined, isStopped: false })
      return before
    }
    const index = this.#open(rawIndex, { isStopped: true })
    return [...before, { type: 'content_block', index, content_block: whole }]
  }

  #open(rawIndex: number, block: Omit<OpenBlock, 'at'>): number {
    const at = this.#nextIndex++
    this.#blocks.set(rawIndex, { at, ...block })
    return at
  }

  #startEarly(rawIndex: number): AgentEvent[] {
    const block = this.#early.get(rawIndex)
    return block === undefined ? [] : this.#startBlock(rawIndex, block)
  }

  #extendBlock(event: RawEvent & { type: 'content_block_delta' }): AgentEvent[] {
    const started = this.#startEarly(event.index)
    const block = this.#blockOf(event)
    const delta = toDelta(event.delta)
    if (block.at === undefined || (delta === undefined && block.held === undefined)) return started
    if (block.isStopped) throw malformed('content_block_delta.index')
    block.held?.add(event.delta)
    if (delta === undefined || block.held !== undefined) return started
    return [...started, { type: event.type, index: block.at, delta }]
  }

  /** Ends a block for the provider that did not. */
  #closeBlock(rawIndex: number): AgentEvent[] {
    const block = this.#blocks.get(rawIndex)
    if (block?.at !== undefined && !block.isStopped) this.#unstopped.add(block.at)
    return stopBlock(block)
  }

  #closeAll(): AgentEvent[] {
    // What came whole with the start needs no stop of the provider's.
    const whole = [...this.#early.keys()].flatMap((at) => [...this.#startEarly(at), ...stopBlock(this.#blocks.get(at))])
    return [...whole, ...[...this.#blocks.keys()].flatMap((at) => this.#closeBlock(at))]
  }

  #blockOf(event: RawEvent & { index: number }): OpenBlock {
    const block = this.#blocks.get(event.index)
    if (block === undefined) throw malformed(`${event.type}.index`)
    return block
  }
}

function stopBlock(block: OpenBlock | undefined): AgentEvent[] {
  if (block === undefined || block.isStopped) return []
  block.isStopped = true
  if (block.held !== undefined) return takeHeld(block)
  return block.at === undefined ? [] : [{ type: 'content_block_stop', index: block.at }]
}

/** What is new of a block that comes whole. */
function takeHeld({ at, held }: OpenBlock): AgentEvent[] {
  return at === undefined || held?.hasNews !== true
    ? []
    : [{ type: 'content_block', index: at, content_block: held.take() }]
}

function toDelta(raw: RawBlock): ContentDelta | undefined {
  return deltaTypes.has(raw.type) ? parse(Delta, raw, 'content_block_delta.delta') : undefined
}

/** An image or a document that the model made. Of the contract's other types, no provider means the same as we do. */
function toMediaBlock(raw: RawBlock): ContentBlock | undefined {
  return raw.type === 'image' || raw.type === 'document' ? OwnBlock.safeParse(raw).data : undefined
}

/** The beginning of a block that this version knows how to stream; undefined for any other. */
function toStreamedBlock(raw: RawBlock): ContentBlock | undefined {
  const field = 'content_block_start.content_block'
  if (raw.type === 'server_tool_use' || raw.type === 'mcp_tool_use') {
    const input = raw['input'] ?? {}
    return parse(ProviderBlock, input === raw['input'] ? raw : { ...raw, input }, field)
  }
  return blockTypes.has(raw.type) ? toContentBlock(parse(Block, raw, field)) : undefined
}

function toContentBlock(block: z.infer<typeof Block>): ContentBlock {
  switch (block.type) {
    case 'text': {
      const { citations, ...rest } = block
      return citations === null || citations === undefined ? rest : { ...rest, citations }
    }
    case 'tool_use': {
      const { caller, ...rest } = block
      return isDirect(caller) ? rest : { ...rest, caller }
    }
    default:
      return block
  }
}

/** Most calls are the model's own, and need no word of it. */
function isDirect(caller: JsonValue | undefined): caller is null | undefined {
  if (caller === null || caller === undefined) return true
  return typeof caller === 'object' && 'type' in caller && caller['type'] === 'direct'
}

/** The path goes as deep as the schema, never into what the model wrote. */
const maxPathLength = 2

function parse<TValue>(schema: z.ZodType<TValue>, raw: unknown, field: string): TValue {
  const parsed = schema.safeParse(raw)
  if (parsed.success) return parsed.data
  const path = parsed.error.issues[0]?.path.slice(0, maxPathLength) ?? []
  throw malformed([field, ...path].join('.'))
}

function typesOf(union: { options: readonly { shape: { type: z.ZodLiteral<string> } }[] }): ReadonlySet<string> {
  return new Set(union.options.map(({ shape }) => shape.type.value))
}

function withoutUndefined<TKey extends string>(counts: Partial<Record<TKey, number | undefined>>) {
  const given = Object.entries<number | undefined>(counts).filter(([, count]) => count !== undefined)
  return Object.fromEntries(given) as Partial<Record<TKey, number>> // entries of `counts`, less those without a number
}
