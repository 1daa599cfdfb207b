import { describe, expect, it } from 'vitest'
import type { EventBatch, RunEvent } from './event.ts'
import { emptyAnswer, EventGapError, reduceEvents } from './reduce-events.ts'

const metrics = {
  latencyMs: 5,
  timeToFirstTokenMs: 1,
  inputTokens: 1,
  outputTokens: 2,
  totalTokens: 3,
  cacheReadInputTokens: 0,
  cacheWriteInputTokens: 0,
  cycles: 2,
  tools: [],
  model: 'm',
  stopReason: 'end_turn',
}

const messageId = '2f1f9a52-7a52-4d7b-9c43-0d2a51b3c001'

/** Two model calls with a tool between them. */
const events: RunEvent[] = [
  { type: 'message_start', message: { model: 'm', usage: {} } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Let me ' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'look' } },
  { type: 'content_block_stop', index: 0 },
  { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 't1', name: 'look', input: {} } },
  { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"at":' } },
  { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '"sky"}' } },
  { type: 'content_block_stop', index: 1 },
  { type: 'message_stop' },
  { type: 'tool_result', tool_use_id: 't1', content: 'blue', is_error: false, durationMs: 1 },
  { type: 'message_start', message: { model: 'm', usage: {} } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'It is blue' } },
  { type: 'content_block_stop', index: 0 },
  { type: 'message_stop' },
  { type: 'run_completed', messageId, metrics },
]

const whole = reduceEvents(emptyAnswer, { firstSeq: 1, events })

function slice(from: number, to: number): EventBatch {
  return { firstSeq: from + 1, events: events.slice(from, to) }
}

describe('an answer', () => {
  it('an answer joins the blocks of several model calls and their tools in order', () => {
    expect(whole).toMatchObject({ status: 'completed', lastSeq: events.length, messageId, metrics })
    expect(whole.content).toEqual([
      { type: 'text', text: 'Let me look' },
      { type: 'tool_use', id: 't1', name: 'look', input: { at: 'sky' } },
      { type: 'tool_result', tool_use_id: 't1', content: 'blue', is_error: false },
      { type: 'text', text: 'It is blue' },
    ])
  })

  it('an answer is the same however its events are cut into batches, doubled or overlapping', () => {
    for (let cut = 1; cut < events.length; cut++) {
      const first = reduceEvents(emptyAnswer, slice(0, cut))
      expect(reduceEvents(first, slice(0, cut))).toBe(first)
      expect(reduceEvents(first, slice(cut, events.length))).toEqual(whole)
      expect(reduceEvents(first, slice(Math.max(0, cut - 3), events.length))).toEqual(whole)
    }
  })

  it('the reducer does not change the answer that it receives', () => {
    const first = reduceEvents(emptyAnswer, slice(0, 3))
    const before = structuredClone(first)
    reduceEvents(first, slice(3, events.length))
    expect(first).toEqual(before)
  })

  it('the reducer refuses a batch after a gap', () => {
    expect(() => reduceEvents(emptyAnswer, slice(2, 4))).toThrow(EventGapError)
  })

  it('the reducer skips an event of a newer server and keeps its position', () => {
    const unknown = { type: 'something_new', detail: 1 } as unknown as RunEvent
    const answer = reduceEvents(emptyAnswer, { firstSeq: 1, events: [unknown, ...events] })
    expect(answer).toMatchObject({ status: 'completed', lastSeq: events.length + 1, content: whole.content })
  })
})
