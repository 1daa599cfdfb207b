import { BSON } from 'mongodb'
import { describe, expect, it } from 'vitest'
import type { ContentDelta, RunEvent } from '../../contract/event.ts'
import { fromStoredEvents, toStoredEvents } from './stored-json.ts'
import type { StoredEvent } from './stored-json.ts'

const deltas: ContentDelta[] = [
  { type: 'text_delta', text: 'Hello' },
  { type: 'text_delta', text: '' },
  { type: 'thinking_delta', thinking: 'Let me see' },
  { type: 'thinking_delta', thinking: '' },
  { type: 'input_json_delta', partial_json: '{"at":' },
  { type: 'input_json_delta', partial_json: '' },
  { type: 'signature_delta', signature: 'signed' },
  { type: 'citations_delta', citation: { type: 'char_location', cited_text: 'sky' } },
]
const events = deltas.flatMap((delta) =>
  [0, 1, 12].map((index): RunEvent => ({ type: 'content_block_delta', index, delta })),
)

/** What MongoDB gives back. */
function stored(items: readonly StoredEvent[]): StoredEvent[] {
  return BSON.deserialize(BSON.serialize({ items }))['items'] as StoredEvent[]
}

describe('deltas', () => {
  it.each(events)('%j comes back as it was', (event) => {
    expect(JSON.stringify(fromStoredEvents(stored(toStoredEvents([event]))))).toBe(JSON.stringify([event]))
  })

  it('text, thinking and the input of tools are stored without their frame', () => {
    expect(toStoredEvents(events.slice(0, 2))).toEqual([{ text: 'Hello' }, { text: 'Hello', i: 1 }])
    const types = toStoredEvents(events).flatMap((event) => ('type' in event ? [event] : []))
    expect(types).toHaveLength(6)
  })

  it('a delta that an earlier server has stored in its frame is read as it is', () => {
    expect(fromStoredEvents(events.slice(0, 2) as StoredEvent[])).toEqual(events.slice(0, 2))
  })
})
