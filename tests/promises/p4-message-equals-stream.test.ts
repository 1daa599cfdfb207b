/** P4: one run is one assistant message, and it equals what was streamed, whatever was in it and however it ended. */
import { emptyAnswer, Message, reduceEvents, textOf } from '@verbatim/core'
import type { AgentEvent, Answer, EventBatch } from '@verbatim/core'
import type { Engine, EngineOptionsInput } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, messageEnd, messageStart, pacedAgent, textDelta } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, waitOptions, startRun } from '../support/follow.ts'

/** Runs `agent` once; answers the stored message and what a live, a late and a remote follower made of the run. */
async function answerEverywhere(
  events: readonly AgentEvent[],
  { message = 'Say it', options = {} }: { message?: string; options?: EngineOptionsInput } = {},
) {
  await using database = await openDatabase()
  const agents = [pacedAgent(events)]
  await using first = openEngine(database, { agents, options })
  await using second = openEngine(database, { agents, options })
  const runId = crypto.randomUUID()
  const early = reduceLive(second, runId)
  await startRun(first, { runId, message })
  const answers = await Promise.all([reduceLive(first, runId), early])
  answers.push(answerFrom(await followAll(second, runId)))
  const stored = Message.parse(await answerMessage(first, runId))
  for (const answer of answers) {
    expect(answer.content).toEqual(stored.content)
    expect(answer).toMatchObject({ status: stored.status, messageId: stored.id, metrics: stored.metrics })
  }
  const { items } = await first.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  expect(items.map((one) => [one.seq, one.role])).toEqual([
    [1, 'user'],
    [2, 'assistant'],
  ])
  return { stored, prompt: items[0]! }
}

/** As a client does it: batch by batch. */
async function reduceLive(engine: Engine, runId: string): Promise<Answer> {
  let answer = emptyAnswer
  await followAll(engine, runId, { onBatch: (batch: EventBatch) => void (answer = reduceEvents(answer, batch)) })
  return answer
}

function toolCall(partialJson: readonly string[]): AgentEvent[] {
  return [
    messageStart(5),
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    textDelta('Let me look.'),
    { type: 'content_block_stop', index: 0 },
    { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 't1', name: 'find', input: {} } },
    ...partialJson.map((partial_json): AgentEvent => ({
      type: 'content_block_delta',
      index: 1,
      delta: { type: 'input_json_delta', partial_json },
    })),
    { type: 'content_block_stop', index: 1 },
    ...messageEnd('tool_use', 7),
    { type: 'tool_result', tool_use_id: 't1', content: '{"$found":true}', is_error: false, durationMs: 12 },
    ...answerOf(['Found', ' it.']),
  ]
}

describe('the stored message equals the stream', () => {
  it('the stored message of plain text equals the stream', async () => {
    const { stored } = await answerEverywhere(answerOf(['Hel', 'lo ', 'world']))
    expect(stored).toMatchObject({ status: 'completed', content: [{ type: 'text', text: 'Hello world' }] })
  })

  it('the stored message of a tool loop equals the stream, with the blocks of every cycle and the metrics of the run', async () => {
    const { stored } = await answerEverywhere(toolCall(['{"q":', '"a.b"}']))
    expect(stored.content).toEqual([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: 't1', name: 'find', input: { q: 'a.b' } },
      { type: 'tool_result', tool_use_id: 't1', content: '{"$found":true}', is_error: false },
      { type: 'text', text: 'Found it.' },
    ])
    expect(stored.metrics).toMatchObject({
      inputTokens: 8,
      outputTokens: 9,
      totalTokens: 17,
      cycles: 2,
      tools: [{ name: 'find', calls: 1, successes: 1, errors: 0, totalMs: 12 }],
      stopReason: 'end_turn',
    })
  })

  it.each([
    ['operators and dots in keys', '{"$where":{"a.b":{"$gt":""}},"__v":1}'],
    ['a NUL in a value', '{"a":"x\\u0000y"}'],
    ['a NUL in a key', '{"a\\u0000b":1}'],
    ['a key that would change a prototype', '{"__proto__":{"polluted":true}}'],
    ['half a character in a value', '{"a":"\\ud83d"}'],
    ['half a character in a key', '{"a\\ud83d":1}'],
    ['numbers of every kind', '{"a":1e400,"b":9007199254740993,"c":-0,"d":1.5}'],
    ['deep nesting', `${'[['.repeat(90)}${']]'.repeat(90)}`],
    ['broken JSON', '{"a": [1, 2'],
    ['JSON that is no object', '"just text"'],
    ['an empty key', '{"":{"":0}}'],
  ])('the stored message equals the stream when a tool input has %s', async (_name, json) => {
    const { stored } = await answerEverywhere(toolCall([json.slice(0, 3), json.slice(3)]))
    expect(stored.status).toBe('completed')
    expect(stored.content[1]).toMatchObject({ type: 'tool_use', name: 'find' })
    expect({}).not.toHaveProperty('polluted')
  })

  it('the stored message equals the stream when a tool input is cut inside a character', async () => {
    const json = JSON.stringify({ smile: '😀' })
    const at = json.indexOf('😀') + 1
    const { stored } = await answerEverywhere(toolCall([json.slice(0, at), json.slice(at)]))
    expect(stored.content[1]).toMatchObject({ input: { smile: '😀' } })
  })

  it('the stored message keeps thinking and its signature, whole and redacted', async () => {
    const { stored } = await answerEverywhere([
      messageStart(1),
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Let me ' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'think' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'c2lnbmVk' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'redacted_thinking', data: 'eHh4' } },
      { type: 'content_block_stop', index: 1 },
      ...messageEnd('end_turn', 2),
    ])
    expect(stored.content).toEqual([
      { type: 'thinking', thinking: 'Let me think', signature: 'c2lnbmVk' },
      { type: 'redacted_thinking', data: 'eHh4' },
    ])
  })

  it('the stored message keeps citations', async () => {
    const citation = { type: 'char_location', cited_text: 'x', document_index: 0, 'odd.key$': null }
    const { stored } = await answerEverywhere([
      ...answerOf(['Cited']).slice(0, 3),
      { type: 'content_block_delta', index: 0, delta: { type: 'citations_delta', citation } },
      ...answerOf([]).slice(2),
    ])
    expect(stored.content).toEqual([{ type: 'text', text: 'Cited', citations: [citation] }])
  })

  it.each([
    ['a character cut between two deltas', ['sm', '\ud83d', '\ude00', 'ile'], 'sm😀ile'],
    ['halves that stay alone', ['a\ude00b', 'c\ud83d', 'd'], 'a\ufffdbc\ufffdd'],
    ['half a character at the very end', ['end\ud83d'], 'end\ufffd'],
    ['operators, dots and NUL', ['$set', ' a.b ', 'x\0y'], '$set a.b x\0y'],
    ['empty deltas', ['', 'a', '', 'b', ''], 'ab'],
  ])('the stored message equals the stream when the text has %s', async (_name, words, text) => {
    const { stored } = await answerEverywhere(answerOf(words))
    expect(textOf(stored.content)).toBe(text)
  })

  it.each(['thinking_delta', 'tool_result', 'content_block_start'] as const)(
    'the stored message equals the stream when half a character is in a %s',
    async (where) => {
      const half = 'cut\ud83d'
      const odd = {
        thinking_delta: [
          { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
          { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: half } },
          { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: '\ude00' } },
          { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: half } },
          { type: 'content_block_stop', index: 0 },
        ],
        tool_result: [{ type: 'tool_result', tool_use_id: 't', content: half, is_error: true, durationMs: 1 }],
        content_block_start: [
          { type: 'content_block_start', index: 0, content_block: { type: 'text', text: half } },
          { type: 'content_block_stop', index: 0 },
        ],
      } as const satisfies Record<string, readonly AgentEvent[]>
      const { stored } = await answerEverywhere([messageStart(1), ...odd[where], ...messageEnd('end_turn', 1)])
      expect(JSON.stringify(stored.content)).toContain('cut\ufffd')
    },
  )

  it('the stored message of 200 KB equals the stream after a prompt of 20 KB', async () => {
    const message = `${'What about 漢字 and 😀? '.repeat(800)}`.slice(0, 20_000)
    const chunks = Array.from({ length: 1_000 }, (_, at) => `${at} ${'ö'.repeat(190)}\n`)
    const { stored, prompt } = await answerEverywhere(answerOf(chunks), { message, options: { maxRingBytes: 10_000 } })
    expect(textOf(prompt.content)).toBe(message)
    expect(textOf(stored.content)).toBe(chunks.join(''))
  })

  it('the stored message of an agent that says nothing is empty', async () => {
    const { stored } = await answerEverywhere([])
    expect(stored).toMatchObject({ status: 'completed', content: [], metrics: { cycles: 0, timeToFirstTokenMs: null } })
  })
})

describe('an answer that did not come to its end', () => {
  it.each([
    ['cancelled', async (engine: Engine, runId: string) => await engine.runs.cancel(ada, runId)],
    ['failed', async (_core: Engine, _runId: string, agent: ReturnType<typeof manualAgent>) => agent.fail(new Error())],
  ] as const)('an answer without an end is kept as far as it was streamed: %s', async (status, stop) => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent] })
    const runId = await startRun(engine)
    const live = reduceLive(engine, runId)
    agent.say('A first part, ', 'and a second')
    agent.yieldNext(
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 't1', name: 'find', input: {} } },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"never' } },
    )
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(4), waitOptions)
    await stop(engine, runId, agent)
    const answer = await live
    const stored = Message.parse(await answerMessage(engine, runId))
    expect(stored).toMatchObject({ status, content: answer.content, metrics: answer.metrics })
    expect(textOf(stored.content)).toBe('A first part, and a second')
  })
})
