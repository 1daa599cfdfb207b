import { describe, expect, it } from 'vitest'
import {
  beginning,
  callEnd,
  callStart,
  saying,
  startProvider,
  streaming,
  textBlock,
  thinkingBlock,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderEvent } from '@verbatim/test-kit/provider'
import { z } from 'zod'
import { VerbatimError } from '../contract/errors.ts'
import type { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { claude, tool } from './claude.ts'
import type { ClaudeOptionsInput } from './claude.ts'
import { ask, claudeAt, collect, never, requestOf, secretKey, withoutPings } from './testing/ask-agent.ts'

const start = callStart()

function contentOf(events: readonly AgentEvent[]) {
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] }).content
}

describe('the request', () => {
  it('a request carries the options and marks the system prompt and the end of the conversation for the cache', async () => {
    const system = 'Be brief.'
    const { calls } = await ask([saying('Hi')], {
      system,
      model: 'claude-haiku-4-5',
      maxTokens: 2_000,
      thinking: { type: 'enabled', budget_tokens: 1_024 },
    })
    expect(calls[0]?.body).toEqual({
      stream: true,
      model: 'claude-haiku-4-5',
      max_tokens: 2_000,
      thinking: { type: 'enabled', budget_tokens: 1_024 },
      system: [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'My secret prompt', cache_control: { type: 'ephemeral' } }] },
      ],
    })
    expect(JSON.stringify(calls[0]?.headers)).toContain(secretKey)
  })

  it('a request has no cache marks with cache: false', async () => {
    const { calls } = await ask([saying('Hi')], {
      system: 'Be brief.',
      cache: false,
    })
    expect(JSON.stringify(calls[0]?.body)).not.toContain('cache_control')
  })

  it('a request holds the JSON schema of each tool', async () => {
    const add = tool({
      name: 'add',
      description: 'Adds two numbers',
      input: z.object({ a: z.number(), b: z.number().default(1) }),
      run: ({ a, b }) => a + b,
    })
    const { calls } = await ask([saying('Hi')], { tools: [add] })
    expect(calls[0]?.body['tools']).toEqual([
      {
        name: 'add',
        description: 'Adds two numbers',
        input_schema: {
          type: 'object',
          properties: { a: { type: 'number' }, b: { type: 'number', default: 1 } },
          required: ['a'],
        },
      },
    ])
  })

  it('no request is made when no user said anything', async () => {
    await using provider = await startProvider()
    const request = { ...requestOf(), messages: [] }
    const { error } = await collect(claudeAt(provider.url).stream(request, never))
    expect(error).toMatchObject({ code: 'INVALID_INPUT' })
    expect(provider.calls).toEqual([])
  })
})

describe('the stream', () => {
  it('the stream reports the usage with the tokens that the cache read and wrote', async () => {
    const reply = streaming(
      callStart({ input: 12, cacheRead: 900, cacheWrite: 40 }),
      ...textBlock('Hi'),
      ...callEnd('end_turn', { output: 25 }),
    )
    const { events } = await ask([reply])
    expect(
      events.map((event) => ('message' in event ? event.message.usage : 'usage' in event ? event.usage : null)),
    ).toEqual([
      { input_tokens: 12, output_tokens: 1, cache_read_input_tokens: 900, cache_creation_input_tokens: 40 },
      null,
      null,
      null,
      { output_tokens: 25 },
      null,
    ])
  })

  it.each(['max_tokens', 'refusal', 'stop_sequence', 'model_context_window_exceeded', 'a_reason_of_the_future'])(
    'the stream ends normally at stop reason %s and keeps it',
    async (reason) => {
      const { events, error, calls } = await ask([streaming(start, ...textBlock('Half of'), ...callEnd(reason))])
      expect(error).toBeUndefined()
      expect(events.at(-2)).toMatchObject({
        type: 'message_delta',
        delta: { stop_reason: reason, stop_sequence: null },
      })
      expect(calls).toHaveLength(1)
    },
  )

  it('the stream leaves out unknown events and deltas, keeps unknown blocks, and leaves no hole in the indexes', async () => {
    const searchUse = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }
    const { events, error } = await ask([
      streaming(
        start,
        { type: 'ping' },
        { type: 'content_block_start', index: 0, content_block: searchUse },
        { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{}' } },
        { type: 'content_block_stop', index: 0 },
        { type: 'content_block_start', index: 1, content_block: { type: 'hologram', data: 1 } },
        { type: 'content_block_stop', index: 1 },
        ...textBlock('Found ', 2),
        { type: 'weather_report', temperature: 3 },
        ...textBlock('it', 3),
        { type: 'content_block_delta', index: 3, delta: { type: 'smell_delta', smell: 'rose' } },
        ...callEnd(),
      ),
    ])
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([
      searchUse,
      { type: 'hologram', data: 1 },
      { type: 'text', text: 'Found ' },
      { type: 'text', text: 'it' },
    ])
    expect(new Set(events.flatMap((event) => ('index' in event ? [event.index] : [])))).toEqual(new Set([0, 1, 2, 3]))
    expect(JSON.stringify(events)).not.toMatch(/smell|weather_report/)
  })

  it('the stream keeps citations and redacted thinking', async () => {
    const citation = { type: 'char_location', cited_text: 'x', document_index: 0 }
    const { events } = await ask([
      streaming(
        start,
        { type: 'content_block_start', index: 0, content_block: { type: 'redacted_thinking', data: 'abc' } },
        { type: 'content_block_stop', index: 0 },
        ...textBlock('As said', 1).slice(0, 2),
        { type: 'content_block_delta', index: 1, delta: { type: 'citations_delta', citation } },
        { type: 'content_block_stop', index: 1 },
        ...callEnd(),
      ),
    ])
    expect(contentOf(events)).toEqual([
      { type: 'redacted_thinking', data: 'abc', boundTo: expect.any(String) },
      { type: 'text', text: 'As said', citations: [citation] },
    ])
  })

  it('the agent stops the request at once when the signal aborts and throws its reason', async () => {
    await using provider = await startProvider(beginning('One ', 'two '))
    const stop = new AbortController()
    const reason = new Error('stopped by the test')
    const seen: AgentEvent[] = []
    const events = withoutPings(claudeAt(provider.url).stream(requestOf('Count'), stop.signal))
    const reading = (async () => {
      for await (const event of events) {
        seen.push(event)
        if (seen.length === 4) stop.abort(reason)
      }
    })()
    await expect(reading).rejects.toBe(reason)
    expect(await provider.calls[0]?.hungUp).toBe(true)
    expect(contentOf(seen)).toEqual([{ type: 'text', text: 'One two ' }])
  })

  it('the agent stops while it waits for the first byte', async () => {
    const asked = Promise.withResolvers<void>()
    await using provider = await startProvider(() => asked.resolve())
    const stop = new AbortController()
    const reading = collect(claudeAt(provider.url).stream(requestOf('Hi'), stop.signal))
    await asked.promise
    stop.abort('enough')
    expect(await reading).toEqual({ events: [], error: 'enough' })
    expect(await provider.calls[0]?.hungUp).toBe(true)
  })

  it('the agent stops the request when its reader leaves', async () => {
    await using provider = await startProvider(beginning('One '))
    for await (const event of claudeAt(provider.url).stream(requestOf('Count'), never)) {
      if (event.type === 'content_block_delta') break
    }
    expect(await provider.calls[0]?.hungUp).toBe(true)
  })

  it('the agent makes no request after its signal has aborted', async () => {
    await using provider = await startProvider()
    const events = claudeAt(provider.url).stream(requestOf('Hi'), AbortSignal.abort('too late'))
    expect(await collect(events)).toEqual({ events: [], error: 'too late' })
    expect(provider.calls).toEqual([])
  })
})

describe('tools', () => {
  const oneCycle = (...blocks: readonly ProviderEvent[]) => streaming(start, ...blocks, ...callEnd('tool_use'))
  const done = saying('Done.')
  const echo = tool({
    name: 'echo',
    description: 'Says it again',
    input: z.object({ text: z.string() }),
    run: ({ text }) => text,
  })

  function resultsOf(events: readonly AgentEvent[]) {
    return events.flatMap((event) => (event.type === 'tool_result' ? [event] : []))
  }

  it('tools run at the same time, and their results come in the order of the calls', async () => {
    const secondRan = Promise.withResolvers<void>()
    const first = tool({
      name: 'first',
      description: 'Ends after the second',
      input: z.object({}),
      run: async () => {
        await secondRan.promise
        return 'one'
      },
    })
    const second = tool({
      name: 'second',
      description: 'Lets the first end',
      input: z.object({}),
      run: () => {
        secondRan.resolve()
        return 'two'
      },
    })
    const { events, calls, error } = await ask(
      [
        oneCycle(
          ...textBlock('Let me see.'),
          ...toolBlock(1, { id: 'toolu_a', name: 'first' }),
          ...toolBlock(2, { id: 'toolu_b', name: 'second', json: '' }),
        ),
        done,
      ],
      { tools: [first, second] },
    )
    expect(error).toBeUndefined()
    expect(resultsOf(events).map(({ content }) => content)).toEqual(['one', 'two'])
    expect(calls[1]?.body.messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'My secret prompt' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'Let me see.' },
          { type: 'tool_use', id: 'toolu_a', name: 'first', input: {} },
          { type: 'tool_use', id: 'toolu_b', name: 'second', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'toolu_a', content: 'one', is_error: false },
          {
            type: 'tool_result',
            tool_use_id: 'toolu_b',
            content: 'two',
            is_error: false,
            cache_control: { type: 'ephemeral' },
          },
        ],
      },
    ])
  })

  it('a tool that fails becomes a result without the text of its error', async () => {
    const leaky = tool({
      name: 'leaky',
      description: 'Fails',
      input: z.object({}),
      run: () => {
        throw new Error('mongodb://user:hunter2@host')
      },
    })
    const polite = tool({
      name: 'polite',
      description: 'Fails on purpose',
      input: z.object({}),
      run: () => Promise.reject(new VerbatimError('NOT_FOUND', 'There is no such city')),
    })
    const logged: unknown[] = []
    const ignore = () => {}
    const logger = { info: ignore, error: ignore, warn: (...line: unknown[]) => logged.push(line) }
    const calls = oneCycle(
      ...toolBlock(0, { id: 'toolu_a', name: 'leaky' }),
      ...toolBlock(1, { id: 'toolu_b', name: 'polite' }),
      ...toolBlock(2, { id: 'toolu_c', name: 'unheard_of' }),
      ...toolBlock(3, { id: 'toolu_d', name: 'echo', input: { text: 7 } }),
      ...toolBlock(4, { id: 'toolu_e', name: 'echo', json: '{"text":' }),
    )
    const { events, error } = await ask([calls, done], { tools: [leaky, polite, echo], logger })
    expect(error).toBeUndefined()
    expect(resultsOf(events).map(({ content, is_error }) => [is_error, content])).toEqual([
      [true, 'The tool failed'],
      [true, 'There is no such city'],
      [true, 'There is no tool of this name'],
      [true, 'The input does not fit the tool: text: Invalid input: expected string, received number'],
      [true, expect.stringContaining('was not whole, so the tool did not run')],
    ])
    expect(contentOf(events).at(-1)).toEqual({ type: 'text', text: 'Done.' })
    expect(JSON.stringify([events, logged])).not.toContain('hunter2')
    expect(logged).toContainEqual([{ runId: requestOf().runId, tool: 'leaky', error: 'Error' }, 'A tool failed'])
  })

  it('a tool that is too slow becomes a failed result, and its signal aborts', async () => {
    const aborted = Promise.withResolvers<void>()
    const slow = tool({
      name: 'slow',
      description: 'Never ends by itself',
      input: z.object({}),
      run: (_input, { signal }) => new Promise<string>(() => signal.addEventListener('abort', () => aborted.resolve())),
    })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'slow' }))
    const { events } = await ask([calls, done], { tools: [slow], toolTimeoutMs: 20 })
    expect(resultsOf(events)).toMatchObject([{ is_error: true, content: 'The tool did not answer within 20 ms' }])
    await aborted.promise
  })

  it('a tool result that is too large becomes a failed result', async () => {
    const chatty = tool({ name: 'chatty', description: 'Talks', input: z.object({}), run: () => 'ä'.repeat(131_073) })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'chatty' }))
    const { events } = await ask([calls, done], { tools: [chatty] })
    expect(resultsOf(events)).toMatchObject([{ is_error: true, content: expect.stringContaining('over 262144 bytes') }])
  })

  it('a tool knows its run and session', async () => {
    const who = tool({
      name: 'who',
      description: 'Tells where it runs',
      input: z.object({}),
      run: (_input, { runId, sessionId }) => `${sessionId} ${runId}`,
    })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'who' }))
    const { events } = await ask([calls, done], { tools: [who] })
    const { sessionId, runId } = requestOf()
    expect(resultsOf(events)[0]?.content).toBe(`${sessionId} ${runId}`)
  })

  it('tools stop with their run, which does not wait for them', async () => {
    const running = Promise.withResolvers<void>()
    const aborted = Promise.withResolvers<void>()
    const stubborn = tool({
      name: 'stubborn',
      description: 'Ignores its signal',
      input: z.object({}),
      run: (_input, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve())
        running.resolve()
        return new Promise<string>(() => {})
      },
    })
    await using provider = await startProvider(oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'stubborn' })))
    const stop = new AbortController()
    const reading = collect(claudeAt(provider.url, { tools: [stubborn] }).stream(requestOf('Go'), stop.signal))
    await running.promise
    stop.abort('cancelled')
    const { events, error } = await reading
    expect(error).toBe('cancelled')
    expect(resultsOf(events)).toEqual([])
    await aborted.promise
  })

  it('tools stop when the reader of the agent leaves', async () => {
    const aborted = Promise.withResolvers<void>()
    const endless = tool({
      name: 'endless',
      description: 'Ends with its signal',
      input: z.object({}),
      run: (_input, { signal }) => new Promise<string>(() => signal.addEventListener('abort', () => aborted.resolve())),
    })
    const twoCalls = [
      ...toolBlock(0, { id: 'toolu_a', name: 'echo', input: { text: 'x' } }),
      ...toolBlock(1, { id: 'toolu_b', name: 'endless' }),
    ]
    await using provider = await startProvider(oneCycle(...twoCalls))
    for await (const event of claudeAt(provider.url, { tools: [echo, endless] }).stream(requestOf('Go'), never)) {
      if (event.type === 'tool_result') break
    }
    await expect(aborted.promise).resolves.toBeUndefined()
  })

  it('a run asks for tools at most maxCycles times and does not run the last call', async () => {
    let runs = 0
    const counted = tool({ name: 'counted', description: 'Counts', input: z.object({}), run: () => String(++runs) })
    const again = (id: string) => oneCycle(...toolBlock(0, { id, name: 'counted' }))
    const { error, calls } = await ask([again('toolu_1'), again('toolu_2'), again('toolu_3')], {
      tools: [counted],
      maxCycles: 3,
    })
    expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', data: { kind: 'max_cycles' } })
    expect(calls).toHaveLength(3)
    expect(runs).toBe(2)
  })

  it('a run goes on after a pause of the provider', async () => {
    const paused = streaming(start, ...textBlock('First '), ...callEnd('pause_turn'))
    const { events, calls, error } = await ask([paused, saying('then.')])
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([
      { type: 'text', text: 'First ' },
      { type: 'text', text: 'then.' },
    ])
    expect(calls[1]?.body.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
  })

  it('the provider receives the signed thinking of a cycle unchanged', async () => {
    const thinker = oneCycle(
      ...thinkingBlock(0, 'Hm.', 'sig'),
      ...toolBlock(1, { id: 'toolu_a', name: 'echo', input: { text: 'x' } }),
    )
    const { calls, events } = await ask([thinker, done], { tools: [echo] })
    expect(contentOf(events)[0]).toEqual({
      type: 'thinking',
      thinking: 'Hm.',
      signature: 'sig',
      boundTo: expect.any(String),
    })
    expect(calls[1]?.body.messages[1]?.content[0]).toEqual({ type: 'thinking', thinking: 'Hm.', signature: 'sig' })
  })
})

describe('options', () => {
  it('the options set the timeouts and the window of the agent', () => {
    expect(claude({ apiKey: 'k' })).toMatchObject({ id: 'claude' })
    expect(claude({ apiKey: 'k' })).not.toHaveProperty('timeouts')
    const agent = claude({ apiKey: 'k', id: 'poet', timeouts: { idleMs: 5 }, maxHistoryMessages: 4 })
    expect(agent).toMatchObject({ id: 'poet', timeouts: { idleMs: 5 }, maxHistoryMessages: 4 })
  })

  const twice = { description: 'x', input: z.object({}), run: () => '' }
  it.each<[string, ClaudeOptionsInput]>([
    ['modle', { modle: 'x' } as ClaudeOptionsInput],
    ['id', { id: 'no spaces' }],
    ['apiKey', { apiKey: '' }],
    ['baseURL', { baseURL: 'ftp://example.com' }],
    ['maxTokens', { maxTokens: 0 }],
    ['thinking', { maxTokens: 1_000, thinking: { type: 'enabled', budget_tokens: 1_024 } }],
    ['tools', { tools: [tool({ name: 'a', ...twice }), tool({ name: 'a', ...twice })] }],
    ['tools', { tools: [{ name: 'a' }] as unknown as NonNullable<ClaudeOptionsInput['tools']> }],
    ['client', { apiKey: 'k', client: { messages: {} } as unknown as NonNullable<ClaudeOptionsInput['client']> }],
  ])('the agent refuses wrong options at start: %s', (field, options) => {
    expect(() => claude(options)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIGURATION' }))
    expect(() => claude(options)).toThrow(field)
  })

  it('a tool whose input is no object, or whose name the API refuses, is refused at start', () => {
    const asCode = expect.objectContaining({ code: 'INVALID_CONFIGURATION' })
    expect(() => tool({ ...twice, name: 'a', input: z.string() })).toThrow(asCode)
    expect(() => tool({ ...twice, name: 'a', input: z.object({ at: z.date() }) })).toThrow(asCode)
    expect(() => tool({ ...twice, name: 'a b' })).toThrow(asCode)
  })
})
