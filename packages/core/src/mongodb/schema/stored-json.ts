/**
 * Content as documents hold it. JSON of the model and of callers is stored as its text. As BSON, some of it could not be stored, or would come back changed: keys that
 * the driver takes for a type (`_bsontype`), keys with a NUL character, `__proto__`, nesting over 100 levels.
 */
import type { Binary } from 'mongodb'
import type { ContentBlock, OwnBlock, ToolResultPart } from '../../contract/content-block.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import type { ContentDelta, RunEvent } from '../../contract/event.ts'
import { isProviderBlock } from '../../contract/provider-block.ts'

declare const storedBrand: unique symbol

/** A block as a document holds it: its JSON is text. */
export type StoredBlock = ContentBlock & { readonly [storedBrand]: true }
/**
 * A delta of which answers have thousands, without its frame, which is longer than itself: `{ text: 'Hello' }`. The field is the one
 * that the delta has in the frame. Version 1 has both forms.
 */
interface ShortDelta {
  readonly text?: string
  readonly thinking?: string
  readonly partial_json?: string
  /** Index of the block; absent for 0. */
  readonly i?: number
}

/** An event as a document holds it: its JSON is text, and most deltas are short. */
export type StoredEvent = (RunEvent | ShortDelta) & { readonly [storedBrand]: true }

/** Bytes that only content-cipher.ts makes and reads; the driver answers its own class for what was stored. */
export type Sealed = Uint8Array | Binary
export type StoredContent = StoredBlock[] | Sealed
/** JSON text. */
export type StoredJson = (string & { readonly [storedBrand]: true }) | Sealed
export type StoredTitle = (string & { readonly [storedBrand]: true }) | Sealed | null

/** What a user said of a file, and its hash, which tells a file that is known elsewhere. */
export interface AttachmentDetails {
  readonly name: string
  readonly sha256: string
}
export type StoredDetails = AttachmentDetails | Sealed

/** Events of an agent, in one sealed text. Archiving moves it as it is. */
export interface SealedEvents {
  readonly type: 'sealed'
  /** Seq of the first event. */
  readonly n: number
  readonly count: number
  readonly data: Sealed
}
/** What an entry of the log holds: the engine's own events are never sealed. */
export type StoredItem = StoredEvent | SealedEvents

export function isSealed(item: StoredItem): item is SealedEvents {
  return 'type' in item && item.type === 'sealed'
}

/** How many events the items are. */
export function countOf(items: readonly StoredItem[]): number {
  return items.reduce((sum, item) => sum + (isSealed(item) ? item.count : 1), 0)
}

export function toStoredContent(content: readonly ContentBlock[]): StoredBlock[] {
  return content.map((block) => toStoredBlock(block) as StoredBlock)
}

export function fromStoredContent(content: readonly StoredBlock[]): ContentBlock[] {
  return content.map((block) => fromStoredBlock(block))
}

export function toStoredEvents(events: readonly RunEvent[]): StoredEvent[] {
  const map = { toBlock: toStoredBlock, toValue: toText }
  return events.map((event) => (toShort(event) ?? mapEvent(event, map)) as StoredEvent)
}

export function fromStoredEvents(events: readonly StoredEvent[]): RunEvent[] {
  const map = { toBlock: fromStoredBlock, toValue: fromText }
  return events.map((event) => (isShort(event) ? fromShort(event) : mapEvent(event, map)))
}

function toShort(event: RunEvent): ShortDelta | undefined {
  if (event.type !== 'content_block_delta') return undefined
  const { index, delta } = event
  const at = index === 0 ? {} : { i: index }
  switch (delta.type) {
    case 'text_delta':
      return { text: delta.text, ...at }
    case 'thinking_delta':
      return { thinking: delta.thinking, ...at }
    case 'input_json_delta':
      return { partial_json: delta.partial_json, ...at }
    default:
      return undefined
  }
}

function isShort(event: RunEvent | ShortDelta): event is ShortDelta {
  return !('type' in event)
}

function fromShort({ i: index = 0, ...short }: ShortDelta): RunEvent {
  return { type: 'content_block_delta', index, delta: deltaOf(short) }
}

function deltaOf({ text = '', thinking, partial_json }: Omit<ShortDelta, 'i'>): ContentDelta {
  if (thinking !== undefined) return { type: 'thinking_delta', thinking }
  return partial_json === undefined ? { type: 'text_delta', text } : { type: 'input_json_delta', partial_json }
}

export function toStoredJson(output: JsonValue): Exclude<StoredJson, Sealed> {
  return toText(output) as Exclude<StoredJson, Sealed> // branded here only
}

function toText(value: JsonValue): string {
  return JSON.stringify(value)
}

export function fromText(text: JsonValue): JsonValue {
  if (typeof text !== 'string') throw new Error('Stored JSON is not text')
  return JSON.parse(text) as JsonValue // written by toText
}

/** A provider's block as a document holds it. All of it is its own, so all of it is text. */
interface StoredProviderBlock {
  readonly type: string
  readonly json: string
}

function toStoredBlock(block: ContentBlock): ContentBlock {
  if (!isProviderBlock(block)) return mapOwnBlock(block, { toBlock: toStoredBlock, toValue: toText })
  const stored: StoredProviderBlock = { type: block.type, json: JSON.stringify(block) }
  return stored as unknown as ContentBlock // a StoredBlock, see its brand
}

function fromStoredBlock(block: ContentBlock): ContentBlock {
  if (!isProviderBlock(block)) return mapOwnBlock(block, { toBlock: fromStoredBlock, toValue: fromText })
  return fromText((block as unknown as StoredProviderBlock).json) as unknown as ContentBlock // written by toStoredBlock
}

interface BlockMap {
  readonly toBlock: (block: ContentBlock) => ContentBlock
  readonly toValue: (value: JsonValue) => JsonValue
}

/** Every event that holds JSON; the usual ones are returned as they are. */
function mapEvent(event: RunEvent, map: BlockMap): RunEvent {
  switch (event.type) {
    case 'content_block_start':
    case 'content_block':
      return { ...event, content_block: map.toBlock(event.content_block) }
    case 'content_block_delta':
      if (event.delta.type !== 'citations_delta') return event
      return { ...event, delta: { ...event.delta, citation: map.toValue(event.delta.citation) } }
    case 'tool_result':
      return typeof event.content === 'string' ? event : { ...event, content: mapParts(event.content, map) }
    case 'output':
      return { ...event, output: map.toValue(event.output) }
    case 'data':
      return { ...event, data: map.toValue(event.data) }
    default:
      return event
  }
}

function mapOwnBlock(block: OwnBlock, map: BlockMap): OwnBlock {
  switch (block.type) {
    case 'tool_use': {
      const { caller } = block
      return { ...block, input: map.toValue(block.input), ...(caller !== undefined && { caller: map.toValue(caller) }) }
    }
    case 'tool_result':
      return typeof block.content === 'string' ? block : { ...block, content: mapParts(block.content, map) }
    case 'compaction':
      return { ...block, sent: map.toValue(block.sent) }
    case 'text':
      return block.citations === undefined ? block : { ...block, citations: block.citations.map(map.toValue) }
    default:
      return block
  }
}

function mapParts(parts: readonly ToolResultPart[], { toBlock }: BlockMap): ToolResultPart[] {
  return parts.map((part) => toBlock(part) as ToolResultPart) // a block keeps its type
}
