/** The model calls tools, receives their results and answers; the metrics count each tool. */
import { textOf } from '@verbatim/core'
import { tool } from '@verbatim/core/claude'
import { createGate } from '@verbatim/core/testing'
import { expect, it, vi } from 'vitest'
import { z } from 'zod'
import { callEnd, callStart, saying, startProvider, streaming, textBlock, toolBlock } from '@verbatim/test-kit/provider'
import { openApp } from '../support/app.ts'
import { claudeAt, startAimock } from '../support/claude.ts'
import { answerFrom, waitOptions } from '../support/follow.ts'
import { followRaw } from '../support/frames.ts'

const weather = tool({
  name: 'get_weather',
  description: 'The weather of a city',
  input: z.object({ city: z.string() }),
  run: ({ city }) => ({ city, sky: 'snow' }),
})
const train = tool({
  name: 'book_train',
  description: 'Books a train',
  input: z.object({ to: z.string() }),
  run: () => {
    throw new Error('password of the booking system: hunter2')
  },
})

it('an answer holds the results of both tools, one of which fails, and their metrics', async () => {
  await using mock = await startAimock()
  const toolCalls = [
    { id: 'toolu_1', name: 'get_weather', arguments: '{"city":"Oslo"}' },
    { id: 'toolu_2', name: 'book_train', arguments: '{"to":"Oslo"}' },
  ]
  mock.on({ hasToolResult: false }, { toolCalls, usage: { input_tokens: 50, output_tokens: 20 } })
  mock.on({ hasToolResult: true }, { content: 'It snows, no train.', usage: { input_tokens: 90, output_tokens: 8 } })
  await using app = await openApp({ agents: [claudeAt(mock.url, { tools: [weather, train] })] })
  const run = app.client().chat('session-1').send('Oslo?')
  const message = await run.message
  expect(message.content).toEqual([
    { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } },
    { type: 'tool_use', id: 'toolu_2', name: 'book_train', input: { to: 'Oslo' } },
    { type: 'tool_result', tool_use_id: 'toolu_1', content: '{"city":"Oslo","sky":"snow"}', is_error: false },
    { type: 'tool_result', tool_use_id: 'toolu_2', content: 'The tool failed', is_error: true },
    { type: 'text', text: 'It snows, no train.' },
  ])
  expect(message.metrics).toMatchObject({
    cycles: 2,
    inputTokens: 140,
    outputTokens: 28,
    totalTokens: 168,
    stopReason: 'end_turn',
    tools: [
      { name: 'get_weather', calls: 1, successes: 1, errors: 0, totalMs: expect.any(Number) },
      { name: 'book_train', calls: 1, successes: 0, errors: 1, totalMs: expect.any(Number) },
    ],
  })
  const { events } = await followRaw(app, run.id)
  expect(answerFrom(events).content).toEqual(message.content)
  expect(JSON.stringify([events, message])).not.toContain('hunter2')

  expect(mock.getRequests()).toHaveLength(2)
  const sent = mock.getLastRequest()?.body as { messages?: unknown[] } | undefined
  expect(sent?.messages?.slice(-2)).toEqual([
    { role: 'tool', tool_call_id: 'toolu_1', content: '{"city":"Oslo","sky":"snow"}' },
    { role: 'tool', tool_call_id: 'toolu_2', content: 'The tool failed' },
  ])
})

it('the metrics count every call of a tool and the time inside it', async () => {
  let calls = 0
  const lookUp = tool({
    name: 'look_up',
    description: 'Looks a word up',
    input: z.object({ word: z.string() }),
    async run({ word }) {
      await new Promise((resolve) => setTimeout(resolve, 60))
      if (++calls === 2) throw new Error('no such word')
      return word
    },
  })
  const cycle = (said: string, id: string, word: string) =>
    streaming(
      callStart({ input: 10 }),
      ...textBlock(said),
      ...toolBlock(1, { id, name: 'look_up', input: { word } }),
      ...callEnd('tool_use', { output: 4 }),
    )
  await using provider = await startProvider(
    cycle('Let me see. ', 'toolu_1', 'one'),
    cycle('And. ', 'toolu_2', 'two'),
    saying('Found ', 'one.'),
  )
  await using app = await openApp({ agents: [claudeAt(provider.url, { tools: [lookUp] })] })
  const run = app.client().chat('session-1').send('Look up two words')
  const message = await run.message
  expect(message.metrics).toMatchObject({ cycles: 3, inputTokens: 30, outputTokens: 13 })
  const [spent] = message.metrics?.tools ?? []
  expect(spent).toMatchObject({ name: 'look_up', calls: 2, successes: 1, errors: 1 })
  expect(spent?.totalMs).toBeGreaterThan(100) // two calls of 60 ms; timers may fire a little early
  expect(spent?.totalMs).toBeLessThan(message.metrics?.latencyMs ?? 0)
  expect(textOf(message.content)).toBe('Let me see. And. Found one.')

  // Each request holds the whole loop so far.
  expect(provider.calls.map(({ body }) => body.messages.length)).toEqual([1, 3, 5])
  expect(provider.calls[2]?.body.messages).toMatchObject([
    { role: 'user' },
    { role: 'assistant', content: [{ type: 'text' }, { type: 'tool_use', id: 'toolu_1' }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'one', is_error: false }] },
    { role: 'assistant', content: [{ type: 'text' }, { type: 'tool_use', id: 'toolu_2' }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_2', is_error: true }] },
  ])
})

it('what the model said before a tool call is shown while the tool runs', async () => {
  const gate = createGate()
  const wait = tool({
    name: 'wait',
    description: 'Waits',
    input: z.object({}),
    async run(_input, { signal }) {
      await gate.pass(signal)
      return 'waited'
    },
  })
  const asking = toolBlock(1, { id: 'toolu_1', name: 'wait' })
  await using provider = await startProvider(
    streaming(callStart(), ...textBlock('One moment. '), ...asking, ...callEnd('tool_use')),
    saying('Done.'),
  )
  await using app = await openApp({ agents: [claudeAt(provider.url, { tools: [wait] })] })
  const run = app.client().chat('session-1').send('Wait')
  // The model's call is over and the tool is held: only what is not held back gets here.
  await vi.waitFor(() => expect(gate.arrivals).toBe(1), waitOptions)
  await vi.waitFor(() => expect(textOf(run.answer.content)).toBe('One moment. '), waitOptions)
  expect(provider.calls).toHaveLength(1)
  gate.open()
  expect(textOf((await run.message).content)).toBe('One moment. Done.')
  const { events } = await followRaw(app, run.id)
  expect(events.filter(({ type }) => type === 'tool_result')).toHaveLength(1)
})
