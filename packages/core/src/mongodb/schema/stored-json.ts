/**
 * Content as documents hold it. JSON of the model and of callers is stored as its text. As BSON, some of it could not be stored, or would come back changed: keys that
 * the driver takes for a type (`_bsontype`), keys with a NUL character, `__proto__`, nesting over 100 levels.
 */
import type { Binary } from 'mongodb'
import type { ContentBlock, JsonValue } from '../../contract/content-block.ts'
import type { RunEvent } from '../../contract/event.ts'

declare const storedBrand: unique symbol

/** A block as a document holds it: its JSON is text. */
export type StoredBlock = ContentBlock & { readonly [storedBrand]: true }
/** An event as a document holds it: its JSON is text. */
export type StoredEvent = RunEvent & { readonly [storedBrand]: true }

/** Bytes that only content-cipher.ts makes and reads; the driver answers its own class for what was stored. */
export type Sealed = Uint8Array | Binary
export type StoredContent = StoredBlock[] | Sealed
export type StoredTitle = (string & { readonly [storedBrand]: true }) | Sealed | null

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
  return item.type === 'sealed'
}

/** How many events the items are. */
export function countOf(items: readonly StoredItem[]): number {
  return items.reduce((sum, item) => sum + (isSealed(item) ? item.count : 1), 0)
}

export function toStoredContent(content: readonly ContentBlock[]): StoredBlock[] {
  return content.map((block) => mapBlock(block, toText) as StoredBlock)
}

export function fromStoredContent(content: readonly StoredBlock[]): ContentBlock[] {
  return content.map((block) => mapBlock(block, fromText))
}

export function toStoredEvents(events: readonly RunEvent[]): StoredEvent[] {
  return events.map((event) => mapEvent(event, toText) as StoredEvent)
}

export function fromStoredEvents(events: readonly StoredEvent[]): RunEvent[] {
  return events.map((event) => mapEvent(event, fromText))
}

type MapJson = (value: JsonValue) => JsonValue

function toText(value: JsonValue): string {
  return JSON.stringify(value)
}

function fromText(text: JsonValue): JsonValue {
  if (typeof text !== 'string') throw new Error('Stored JSON is not text')
  return JSON.parse(text) as JsonValue // written by toText
}

/** Every event that holds JSON; the usual ones are returned as they are. */
function mapEvent(event: RunEvent, map: MapJson): RunEvent {
  if (event.type === 'content_block_start') return { ...event, content_block: mapBlock(event.content_block, map) }
  if (event.type !== 'content_block_delta' || event.delta.type !== 'citations_delta') return event
  return { ...event, delta: { ...event.delta, citation: map(event.delta.citation) } }
}

function mapBlock(block: ContentBlock, map: MapJson): ContentBlock {
  if (block.type === 'tool_use') return { ...block, input: map(block.input) }
  if (block.type === 'compaction') return { ...block, sent: map(block.sent) }
  if (block.type === 'text' && block.citations !== undefined) return { ...block, citations: block.citations.map(map) }
  return block
}
