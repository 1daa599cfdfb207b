import { describe, expect, expectTypeOf, it } from 'vitest'
import { textOf } from '../contract/content-block.ts'
import type { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { agent } from './agent.ts'
import type { AgentSource } from './agent.ts'
import type { AgentChunk } from './frame-answer.ts'
import { requestOf } from './testing/ask-agent.ts'

const request = requestOf('Hello')

async function eventsOf(source: AgentSource | Promise<AgentSource>): Promise<AgentEvent[]> {
  const own = agent({ id: 'own', stream: () => source })
  const events: AgentEvent[] = []
  for await (const event of own.stream(request, new AbortController().signal)) {
    if (event.type !== 'ping') events.push(event)
  }
  return events
}

function contentOf(events: readonly AgentEvent[]) {
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] }).content
}

const framed: readonly AgentEvent[] = [
  { type: 'message_start', message: { model: 'own', usage: {} } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hel' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'lo' } },
  { type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: {} },
  { type: 'message_stop' },
]

async function* texts(...words: readonly AgentChunk[]) {
  yield* words
}

function streamOf(...words: readonly AgentChunk[]): ReadableStream<AgentChunk> {
  return new ReadableStream({
    start(controller) {
      for (const word of words) controller.enqueue(word)
      controller.close()
    },
  })
}

describe('agent()', () => {
  it.each<[string, () => AgentSource | Promise<AgentSource>]>([
    ['a generator', () => texts('Hel', '', 'lo')],
    ['a list', () => ['Hel', 'lo']],
    ['a ReadableStream', () => streamOf('Hel', 'lo')],
    ['a promise of a stream', () => Promise.resolve(streamOf('Hel', 'lo'))],
    [
      'text deltas without a frame',
      () =>
        ['Hel', 'lo'].map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
    ],
    ['a whole call', () => framed],
  ])('The text of %s becomes the events of one model call', async (_name, source) => {
    expect(await eventsOf(source())).toEqual(framed)
  })

  it('One text is the whole answer', async () => {
    expect(contentOf(await eventsOf('Hello'))).toEqual([{ type: 'text', text: 'Hello' }])
  })

  it('An agent that says nothing yields no events', async () => {
    expect(await eventsOf([])).toEqual([])
  })

  it('Blocks of the agent stand between its plain text, whatever indexes it gives them', async () => {
    const events = await eventsOf([
      'Let me think.',
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Two and two' } },
      'Four.',
      { type: 'message_delta', delta: { stop_reason: 'max_tokens', stop_sequence: null }, usage: { output_tokens: 7 } },
    ])
    expect(contentOf(events)).toEqual([
      { type: 'text', text: 'Let me think.' },
      { type: 'thinking', thinking: 'Two and two', signature: '' },
      { type: 'text', text: 'Four.' },
    ])
    expect(events.filter(({ type }) => type === 'message_delta')).toEqual([
      expect.objectContaining({ usage: { output_tokens: 7 } }),
    ])
    const stopped = events.filter(({ type }) => type === 'content_block_stop')
    expect(stopped).toHaveLength(3)
    expect(events.at(-1)).toEqual({ type: 'message_stop' })
  })

  it('A whole block stands where it came, between the plain text', async () => {
    const whole: AgentEvent = {
      type: 'content_block',
      index: 0,
      content_block: { type: 'thinking', thinking: 'Hm', signature: 's' },
    }
    const events = await eventsOf(['One.', whole, 'Two.'])
    expect(contentOf(events).map(({ type }) => type)).toEqual(['text', 'thinking', 'text'])
    expect(events.filter(({ type }) => type === 'content_block_stop')).toHaveLength(2)
  })

  it('A call of a tool ends its model call, so that the engine stores it before the tool runs', async () => {
    const events = await eventsOf([
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 't1', name: 'add', input: {} } },
      { type: 'message_stop' },
      { type: 'tool_result', tool_use_id: 't1', content: '4', is_error: false, durationMs: 1 },
      'It is 4.',
    ])
    expect(events.map(({ type }) => type)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_stop',
      'message_delta',
      'message_stop',
      'tool_result',
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
    expect(events[3]).toMatchObject({ delta: { stop_reason: 'tool_use' } })
    expect(textOf(contentOf(events))).toBe('It is 4.')
  })

  it('A piece that is neither text nor an event is the fault of the agent, and the error says so', async () => {
    const wrong = texts(new Uint8Array(1) as never)
    await expect(eventsOf(wrong)).rejects.toThrow('An agent yields text or events; this one has yielded object')
    const stray: AgentEvent = {
      type: 'content_block_delta',
      index: 3,
      delta: { type: 'thinking_delta', thinking: '?' },
    }
    await expect(eventsOf([stray])).rejects.toThrow('block 3')
  })

  it('An abort leaves a stream that hangs, and cancels it', async () => {
    const stop = new AbortController()
    let cancelled: unknown
    const hanging = new ReadableStream<string>({
      start: (controller) => controller.enqueue('One'),
      cancel: (reason) => void (cancelled = reason),
    })
    const own = agent({ id: 'own', stream: () => hanging })
    const reason = new Error('Stop')
    const reading = (async () => {
      for await (const event of own.stream(request, stop.signal)) {
        if (event.type === 'content_block_delta') stop.abort(reason)
      }
    })()
    await expect(reading).rejects.toBe(reason)
    expect(cancelled).toBe(reason)
  })

  it('An id that is none is refused at start', () => {
    expect(() => agent({ id: 'not an id', stream: () => '' })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIGURATION' }),
    )
  })

  it('The id keeps its literal type, and options go through', () => {
    const own = agent({ id: 'own', onCrash: 'continue', maxHistoryMessages: 3, stream: () => '' })
    expectTypeOf(own.id).toEqualTypeOf<'own'>()
    expect(own).toMatchObject({ id: 'own', onCrash: 'continue', maxHistoryMessages: 3 })
  })
})
