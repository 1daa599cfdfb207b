import { describe, expect, it } from 'vitest'
import { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { agentRequest } from './agent-request.ts'
import { createGate } from './gate.ts'
import { scriptedAgent } from './scripted-agent.ts'

const request = agentRequest()
const never = new AbortController().signal

function reader(events: AsyncIterable<unknown>) {
  const seen: AgentEvent[] = []
  const done = (async () => {
    for await (const event of events) seen.push(AgentEvent.parse(event))
  })()
  return {
    seen,
    done,
    text: () => seen.map((event) => ('delta' in event && 'text' in event.delta ? event.delta.text : '')).join(''),
  }
}

describe('a scripted agent', () => {
  it('a scripted agent says its texts as one answer', async () => {
    const { seen, done } = reader(scriptedAgent(['Hel', 'lo']).stream(request, never))
    await done
    expect(seen.map(({ type }) => type)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
    expect(reduceEvents(emptyAnswer, { firstSeq: 1, events: seen }).content).toEqual([{ type: 'text', text: 'Hello' }])
  })

  it('a scripted agent waits at a gate and goes on step by step', async () => {
    const gate = createGate()
    const { text, done } = reader(scriptedAgent(['a', gate, 'b', gate, 'c']).stream(request, never))
    await gate.reached()
    expect(text()).toBe('a')
    gate.release()
    await gate.reached()
    expect(text()).toBe('ab')
    gate.release()
    await done
    expect(text()).toBe('abc')
  })

  it('a scripted agent does not wait at a gate that was released or opened before', async () => {
    const gate = createGate()
    gate.release()
    const first = reader(scriptedAgent([gate, 'a', gate, 'b']).stream(request, never))
    await gate.reached()
    expect(first.text()).toBe('a')
    gate.open()
    await first.done
    const second = reader(scriptedAgent([gate, gate, 'c']).stream(request, never))
    await second.done
    expect(second.text()).toBe('c')
  })

  it('a scripted agent that is stopped leaves its gate and takes no release with it', async () => {
    const gate = createGate()
    const stop = new AbortController()
    const stopped = reader(scriptedAgent(['a', gate, 'b']).stream(request, stop.signal))
    await gate.reached()
    stop.abort('stopped')
    await expect(stopped.done).rejects.toBe('stopped')
    const other = reader(scriptedAgent([gate, 'c']).stream(request, never))
    await gate.reached()
    gate.release()
    await other.done
    expect(other.text()).toBe('c')
  })

  it('a scripted agent throws where its script does, in the middle of its answer', async () => {
    const { seen, done } = reader(scriptedAgent(['a', new Error('broken')]).stream(request, never))
    await expect(done).rejects.toThrow('broken')
    expect(seen.at(-1)).toMatchObject({ type: 'content_block_delta' })
  })

  it('a scripted agent yields raw events as they are after a whole answer', async () => {
    const retrying: AgentEvent = {
      type: 'tool_result',
      tool_use_id: 'toolu_1',
      content: 'x',
      is_error: false,
      durationMs: 1,
    }
    const { seen, done } = reader(scriptedAgent(['a', retrying, 'b']).stream(request, never))
    await done
    expect(seen.filter(({ type }) => type === 'message_stop')).toHaveLength(2)
    expect(seen).toContainEqual(retrying)
  })

  it('a scripted agent can answer from the request and remembers its calls', async () => {
    const agent = scriptedAgent(({ sessionId }) => [sessionId], { id: 'parrot', maxHistoryMessages: 3 })
    const { text, done } = reader(agent.stream(request, never))
    await done
    expect(text()).toBe('session-1')
    expect(agent).toMatchObject({ id: 'parrot', maxHistoryMessages: 3 })
    expect(agent.calls).toEqual([{ request, signal: never }])
  })
})
