/**
 * The provider's stream events become ours. What a later version of the protocol adds (events, deltas, blocks) is left out
 * without a trace: the blocks that we do keep are numbered anew, so that no index is missing from the log.
 */
import { z } from 'zod'
import { JsonValue } from '../../contract/content-block.ts'
import type { ContentBlock } from '../../contract/content-block.ts'
import type { AgentEvent, ContentDelta, ProviderUsage } from '../../contract/event.ts'
import { providerError } from './map-provider-error.ts'

const Typed = z.looseObject({ type: z.string() })
const index = z.int().nonnegative()
const tokens = z.int().nonnegative().nullish()

const Usage = z
  .object({
    input_tokens: tokens,
    output_tokens: tokens,
    cache_read_input_tokens: tokens,
    cache_creation_input_tokens: tokens,
  })
  .nullish()
  .transform((usage): ProviderUsage => withoutNulls(usage ?? {}))

const RawEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('message_start'), message: z.object({ model: z.string(), usage: Usage }) }),
  z.object({ type: z.literal('content_block_start'), index, content_block: Typed }),
  z.object({ type: z.literal('content_block_delta'), index, delta: Typed }),
  z.object({ type: z.literal('content_block_stop'), index }),
  z.object({
    type: z.literal('message_delta'),
    delta: z.object({
      stop_reason: z.string().nullable().default(null),
      stop_sequence: z.string().nullable().default(null),
    }),
    usage: Usage,
  }),
  z.object({ type: z.literal('message_stop') }),
])
type RawEvent = z.infer<typeof RawEvent>

const Block = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: z.string(), citations: z.array(JsonValue).nullish() }),
  z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().default('') }),
  z.object({ type: z.literal('redacted_thinking'), data: z.string() }),
  z.object({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: JsonValue }),
])

const Delta = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text_delta'), text: z.string() }),
  z.object({ type: z.literal('input_json_delta'), partial_json: z.string() }),
  z.object({ type: z.literal('thinking_delta'), thinking: z.string() }),
  z.object({ type: z.literal('signature_delta'), signature: z.string() }),
  z.object({ type: z.literal('citations_delta'), citation: JsonValue }),
])

const eventTypes = typesOf(RawEvent)
const blockTypes = typesOf(Block)
const deltaTypes = typesOf(Delta)

/** Translates the events of one model call, in their order; undefined for what has no word with us. */
export type EventMapper = (raw: unknown) => AgentEvent | undefined

/** A mapper for one model call. It throws `PROVIDER_ERROR` (malformed) for an event that breaks the protocol. */
export function createEventMapper(): EventMapper {
  /** Our index of each of the provider's blocks; null for one that is left out. */
  const indexes = new Map<number, number | null>()
  let nextIndex = 0

  function startBlock(raw: RawEvent & { type: 'content_block_start' }): AgentEvent | undefined {
    if (!blockTypes.has(raw.content_block.type)) {
      indexes.set(raw.index, null)
      return undefined
    }
    const content_block = toContentBlock(parse(Block, raw.content_block))
    indexes.set(raw.index, nextIndex)
    return { type: 'content_block_start', index: nextIndex++, content_block }
  }

  function ourIndex(rawIndex: number): number | undefined {
    const found = indexes.get(rawIndex)
    if (found === undefined) throw providerError('malformed') // a block that never started
    return found ?? undefined
  }

  return (raw) => {
    if (!eventTypes.has(parse(Typed, raw).type)) return undefined
    const event = parse(RawEvent, raw)
    switch (event.type) {
      case 'content_block_start':
        return startBlock(event)
      case 'content_block_delta': {
        const at = ourIndex(event.index)
        const delta = toDelta(event.delta)
        return at === undefined || delta === undefined ? undefined : { type: event.type, index: at, delta }
      }
      case 'content_block_stop': {
        const at = ourIndex(event.index)
        return at === undefined ? undefined : { type: event.type, index: at }
      }
      default:
        return event
    }
  }
}

function toDelta(raw: z.infer<typeof Typed>): ContentDelta | undefined {
  return deltaTypes.has(raw.type) ? parse(Delta, raw) : undefined
}

function toContentBlock(block: z.infer<typeof Block>): ContentBlock {
  if (block.type !== 'text') return block
  const { citations, ...text } = block
  return citations === null || citations === undefined ? text : { ...text, citations }
}

function parse<TValue>(schema: z.ZodType<TValue>, raw: unknown): TValue {
  const parsed = schema.safeParse(raw)
  if (!parsed.success) throw providerError('malformed')
  return parsed.data
}

function typesOf(union: { options: readonly { shape: { type: z.ZodLiteral<string> } }[] }): ReadonlySet<string> {
  return new Set(union.options.map(({ shape }) => shape.type.value))
}

function withoutNulls<TKey extends string>(counts: Partial<Record<TKey, number | null | undefined>>) {
  const given = Object.entries<number | null | undefined>(counts).filter(([, count]) => typeof count === 'number')
  return Object.fromEntries(given) as Partial<Record<TKey, number>> // entries of `counts`, less those without a number
}
