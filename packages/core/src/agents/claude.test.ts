import { LLMock } from '@copilotkit/aimock'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { VerbatimError } from '../contract/errors.ts'
import { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { collect, end, frame, openStream, requestOf, start, startTestProvider } from './claude/test-provider.ts'
import { stillClock, stream, textBlock, toolBlock } from './claude/test-provider.ts'
import type { Reply } from './claude/test-provider.ts'
import { claude, tool } from './claude.ts'
import type { ClaudeOptionsInput } from './claude.ts'

const never = new AbortController().signal
const secretKey = 'sk-ant-secret-of-the-test'

function agentAt(baseURL: string, options: ClaudeOptionsInput = {}) {
  return claude({ apiKey: secretKey, baseURL, random: () => 0, clock: stillClock, ...options })
}

async function ask(replies: readonly Reply[], options: ClaudeOptionsInput = {}) {
  await using provider = await startTestProvider(replies)
  const outcome = await collect(agentAt(provider.baseURL, options).stream(requestOf('Hello'), never))
  for (const event of outcome.events) AgentEvent.parse(event)
  return { ...outcome, requests: provider.requests }
}

function contentOf(events: readonly AgentEvent[]) {
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] }).content
}

describe('against aimock', () => {
  let mock: LLMock | undefined
  afterEach(async () => await mock?.stop())

  async function startMock() {
    mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 5 })
    await mock.start()
    return mock
  }

  it('streams an answer token by token', async () => {
    const server = await startMock()
    server.onMessage(/./, { content: 'Streams are sequences over time.', usage: { input_tokens: 7, output_tokens: 9 } })
    const { events, error } = await collect(agentAt(server.url).stream(requestOf('What is a stream?'), never))
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([{ type: 'text', text: 'Streams are sequences over time.' }])
    expect(events.filter(({ type }) => type === 'content_block_delta')).toHaveLength(7)
    expect(events[0]).toEqual({
      type: 'message_start',
      message: { model: 'claude-sonnet-5-5', usage: { input_tokens: 7, output_tokens: 9 } },
    })
    expect(events.at(-1)).toEqual({ type: 'message_stop' })
  })

  it('keeps thinking and its signature', async () => {
    const server = await startMock()
    server.onMessage(/./, { content: 'Four.', reasoning: 'Two and two.', reasoningSignature: 'sig' })
    const { events } = await collect(agentAt(server.url).stream(requestOf('2 + 2?'), never))
    expect(contentOf(events)).toEqual([
      { type: 'thinking', thinking: 'Two and two.', signature: 'sig' },
      { type: 'text', text: 'Four.' },
    ])
  })

  it('runs a tool and answers with what it said', async () => {
    const server = await startMock()
    const toolCalls = [{ name: 'get_weather', arguments: '{"city":"Oslo"}', id: 'toolu_1' }]
    server.on({ hasToolResult: false }, { toolCalls })
    server.on({ toolResultContains: 'snow' }, { content: 'It snows in Oslo.' })
    const weather = tool({
      name: 'get_weather',
      description: 'The weather of a city',
      input: z.object({ city: z.string() }),
      run: ({ city }) => ({ city, sky: 'snow' }),
    })
    const agent = agentAt(server.url, { tools: [weather] })
    const { events, error } = await collect(agent.stream(requestOf('Weather in Oslo?'), never))
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([
      { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } },
      { type: 'tool_result', tool_use_id: 'toolu_1', content: '{"city":"Oslo","sky":"snow"}', is_error: false },
      { type: 'text', text: 'It snows in Oslo.' },
    ])
  })

  it('asks again after the rate limit and says so', async () => {
    const server = await startMock()
    server.onMessage(/./, { content: 'Here.' })
    server.nextRequestError(429, { message: 'slow down', type: 'rate_limit_error' })
    const { events, error } = await collect(agentAt(server.url).stream(requestOf('Hi'), never))
    expect(error).toBeUndefined()
    expect(events[0]).toMatchObject({
      type: 'run_retrying',
      attempt: 1,
      delayMs: 1_000, // aimock's retry-after is one second
      error: { code: 'PROVIDER_ERROR', data: { kind: 'rate_limit', providerStatus: 429, retryAfterMs: 1_000 } },
    })
    expect(contentOf(events)).toEqual([{ type: 'text', text: 'Here.' }])
  })
})

describe('the request', () => {
  it('carries the options, and marks the system prompt and the end of the conversation for the cache', async () => {
    const system = 'Be brief.'
    const { requests } = await ask([stream(start, ...textBlock(0, 'Hi'), ...end('end_turn'))], {
      system,
      model: 'claude-haiku-5-5',
      maxTokens: 2_000,
      thinking: { type: 'enabled', budget_tokens: 1_024 },
    })
    expect(requests[0]?.body).toEqual({
      stream: true,
      model: 'claude-haiku-5-5',
      max_tokens: 2_000,
      thinking: { type: 'enabled', budget_tokens: 1_024 },
      system: [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }],
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }] }],
    })
    expect(JSON.stringify(requests[0]?.headers)).toContain(secretKey)
  })

  it('has no cache marks with cache: false', async () => {
    const { requests } = await ask([stream(start, ...textBlock(0, 'Hi'), ...end('end_turn'))], {
      system: 'Be brief.',
      cache: false,
    })
    expect(JSON.stringify(requests[0]?.body)).not.toContain('cache_control')
  })

  it('shows the model the JSON schema of each tool', async () => {
    const add = tool({
      name: 'add',
      description: 'Adds two numbers',
      input: z.object({ a: z.number(), b: z.number().default(1) }),
      run: ({ a, b }) => a + b,
    })
    const { requests } = await ask([stream(start, ...textBlock(0, 'Hi'), ...end('end_turn'))], { tools: [add] })
    expect(requests[0]?.body['tools']).toEqual([
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

  it('is not made when no user said anything', async () => {
    await using provider = await startTestProvider([])
    const request = { ...requestOf(), messages: [] }
    const { error } = await collect(agentAt(provider.baseURL).stream(request, never))
    expect(error).toMatchObject({ code: 'INVALID_INPUT' })
    expect(provider.requests).toEqual([])
  })
})

describe('the stream', () => {
  it('tells the usage with what was read from and written to the cache', async () => {
    const { events } = await ask([stream(start, ...textBlock(0, 'Hi'), ...end('end_turn'))])
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
    'ends normally at stop reason %s and keeps it',
    async (reason) => {
      const { events, error, requests } = await ask([stream(start, ...textBlock(0, 'Half of'), ...end(reason))])
      expect(error).toBeUndefined()
      expect(events.at(-2)).toMatchObject({
        type: 'message_delta',
        delta: { stop_reason: reason, stop_sequence: null },
      })
      expect(requests).toHaveLength(1)
    },
  )

  it('leaves out events, deltas and blocks it does not know, and leaves no hole in the indexes', async () => {
    const searchUse = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }
    const { events, error } = await ask([
      stream(
        start,
        { type: 'ping' },
        { type: 'content_block_start', index: 0, content_block: searchUse } as { type: string },
        { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{}' } } as {
          type: string
        },
        { type: 'content_block_stop', index: 0 } as { type: string },
        { type: 'content_block_start', index: 1, content_block: { type: 'hologram', data: 1 } } as { type: string },
        { type: 'content_block_stop', index: 1 } as { type: string },
        ...textBlock(2, 'Found '),
        { type: 'weather_report', temperature: 3 } as { type: string },
        ...textBlock(3, 'it'),
        { type: 'content_block_delta', index: 3, delta: { type: 'smell_delta', smell: 'rose' } } as { type: string },
        ...end('end_turn'),
      ),
    ])
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([
      { type: 'text', text: 'Found ' },
      { type: 'text', text: 'it' },
    ])
    expect(new Set(events.flatMap((event) => ('index' in event ? [event.index] : [])))).toEqual(new Set([0, 1]))
    expect(JSON.stringify(events)).not.toMatch(/smell|weather_report|hologram|srvtoolu|web_search/)
  })

  it('keeps citations and redacted thinking', async () => {
    const citation = { type: 'char_location', cited_text: 'x', document_index: 0 }
    const { events } = await ask([
      stream(
        start,
        { type: 'content_block_start', index: 0, content_block: { type: 'redacted_thinking', data: 'abc' } } as {
          type: string
        },
        { type: 'content_block_stop', index: 0 } as { type: string },
        ...textBlock(1, 'As said').slice(0, 2),
        { type: 'content_block_delta', index: 1, delta: { type: 'citations_delta', citation } } as { type: string },
        { type: 'content_block_stop', index: 1 } as { type: string },
        ...end('end_turn'),
      ),
    ])
    expect(contentOf(events)).toEqual([
      { type: 'redacted_thinking', data: 'abc' },
      { type: 'text', text: 'As said', citations: [citation] },
    ])
  })

  it('stops the request at once when the signal aborts, and throws its reason', async () => {
    const closed = Promise.withResolvers<void>()
    await using provider = await startTestProvider([
      (response) => {
        response.on('close', () => closed.resolve())
        openStream(response).write([start, ...textBlock(0, 'One ', 'two ').slice(0, 3)].map(frame).join(''))
      },
    ])
    const stop = new AbortController()
    const reason = new Error('stopped by the test')
    const seen: AgentEvent[] = []
    const events = agentAt(provider.baseURL).stream(requestOf('Count'), stop.signal)
    const reading = (async () => {
      for await (const event of events) {
        seen.push(event)
        if (seen.length === 4) stop.abort(reason)
      }
    })()
    await expect(reading).rejects.toBe(reason)
    await closed.promise
    expect(contentOf(seen)).toEqual([{ type: 'text', text: 'One two ' }])
  })

  it('stops while it waits for the first byte', async () => {
    const asked = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    await using provider = await startTestProvider([
      (response) => {
        response.on('close', () => closed.resolve())
        asked.resolve()
      },
    ])
    const stop = new AbortController()
    const reading = collect(agentAt(provider.baseURL).stream(requestOf('Hi'), stop.signal))
    await asked.promise
    stop.abort('enough')
    expect(await reading).toEqual({ events: [], error: 'enough' })
    await closed.promise
  })

  it('stops the request when its reader leaves', async () => {
    const closed = Promise.withResolvers<void>()
    await using provider = await startTestProvider([
      (response) => {
        response.on('close', () => closed.resolve())
        openStream(response).write([start, ...textBlock(0, 'One ').slice(0, 2)].map(frame).join(''))
      },
    ])
    for await (const event of agentAt(provider.baseURL).stream(requestOf('Count'), never)) {
      if (event.type === 'content_block_delta') break
    }
    await expect(closed.promise).resolves.toBeUndefined()
  })

  it('makes no request when the signal has aborted before', async () => {
    await using provider = await startTestProvider([])
    const events = agentAt(provider.baseURL).stream(requestOf('Hi'), AbortSignal.abort('too late'))
    expect(await collect(events)).toEqual({ events: [], error: 'too late' })
    expect(provider.requests).toEqual([])
  })
})

describe('tools', () => {
  const oneCycle = (...blocks: readonly { type: string }[]) => stream(start, ...blocks, ...end('tool_use'))
  const done = stream(start, ...textBlock(0, 'Done.'), ...end('end_turn'))
  const echo = tool({
    name: 'echo',
    description: 'Says it again',
    input: z.object({ text: z.string() }),
    run: ({ text }) => text,
  })

  function resultsOf(events: readonly AgentEvent[]) {
    return events.flatMap((event) => (event.type === 'tool_result' ? [event] : []))
  }

  it('run at the same time, and their results come in the order of the calls', async () => {
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
    const { events, requests, error } = await ask(
      [
        oneCycle(
          ...textBlock(0, 'Let me see.'),
          ...toolBlock(1, { id: 'toolu_a', name: 'first', json: '{}' }),
          ...toolBlock(2, { id: 'toolu_b', name: 'second', json: '' }),
        ),
        done,
      ],
      { tools: [first, second] },
    )
    expect(error).toBeUndefined()
    expect(resultsOf(events).map(({ content }) => content)).toEqual(['one', 'two'])
    expect(requests[1]?.body.messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
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

  it('that fail become results the model can go on from, without what their error said', async () => {
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
      ...toolBlock(0, { id: 'toolu_a', name: 'leaky', json: '{}' }),
      ...toolBlock(1, { id: 'toolu_b', name: 'polite', json: '{}' }),
      ...toolBlock(2, { id: 'toolu_c', name: 'unheard_of', json: '{}' }),
      ...toolBlock(3, { id: 'toolu_d', name: 'echo', json: '{"text":7}' }),
      ...toolBlock(4, { id: 'toolu_e', name: 'echo', json: '{"text":' }),
    )
    const { events, error } = await ask([calls, done], { tools: [leaky, polite, echo], logger })
    expect(error).toBeUndefined()
    expect(resultsOf(events).map(({ content, is_error }) => [is_error, content])).toEqual([
      [true, 'The tool failed'],
      [true, 'There is no such city'],
      [true, 'There is no tool of this name'],
      [true, 'The input does not fit the tool: text: Invalid input: expected string, received number'],
      [true, 'The input does not fit the tool: text: Invalid input: expected string, received undefined'],
    ])
    expect(contentOf(events).at(-1)).toEqual({ type: 'text', text: 'Done.' })
    expect(JSON.stringify([events, logged])).not.toContain('hunter2')
    expect(logged).toContainEqual([{ runId: requestOf().runId, tool: 'leaky', error: 'Error' }, 'A tool failed'])
  })

  it('that are too slow are given up, and see their signal abort', async () => {
    const aborted = Promise.withResolvers<void>()
    const slow = tool({
      name: 'slow',
      description: 'Never ends by itself',
      input: z.object({}),
      run: (_input, { signal }) => new Promise<string>(() => signal.addEventListener('abort', () => aborted.resolve())),
    })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'slow', json: '{}' }))
    const { events } = await ask([calls, done], { tools: [slow], toolTimeoutMs: 20 })
    expect(resultsOf(events)).toMatchObject([{ is_error: true, content: 'The tool did not answer within 20 ms' }])
    await aborted.promise
  })

  it('that say too much are an error', async () => {
    const chatty = tool({ name: 'chatty', description: 'Talks', input: z.object({}), run: () => 'ä'.repeat(131_073) })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'chatty', json: '{}' }))
    const { events } = await ask([calls, done], { tools: [chatty] })
    expect(resultsOf(events)).toMatchObject([{ is_error: true, content: expect.stringContaining('over 262144 bytes') }])
  })

  it('know their run and session', async () => {
    const who = tool({
      name: 'who',
      description: 'Tells where it runs',
      input: z.object({}),
      run: (_input, { runId, sessionId }) => `${sessionId} ${runId}`,
    })
    const calls = oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'who', json: '{}' }))
    const { events } = await ask([calls, done], { tools: [who] })
    const { sessionId, runId } = requestOf()
    expect(resultsOf(events)[0]?.content).toBe(`${sessionId} ${runId}`)
  })

  it('stop with the run, which does not wait for them', async () => {
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
    await using provider = await startTestProvider([
      oneCycle(...toolBlock(0, { id: 'toolu_a', name: 'stubborn', json: '{}' })),
    ])
    const stop = new AbortController()
    const reading = collect(agentAt(provider.baseURL, { tools: [stubborn] }).stream(requestOf('Go'), stop.signal))
    await running.promise
    stop.abort('cancelled')
    const { events, error } = await reading
    expect(error).toBe('cancelled')
    expect(resultsOf(events)).toEqual([])
    await aborted.promise
  })

  it('stop when their reader leaves', async () => {
    const aborted = Promise.withResolvers<void>()
    const endless = tool({
      name: 'endless',
      description: 'Ends with its signal',
      input: z.object({}),
      run: (_input, { signal }) => new Promise<string>(() => signal.addEventListener('abort', () => aborted.resolve())),
    })
    await using provider = await startTestProvider([
      oneCycle(
        ...toolBlock(0, { id: 'toolu_a', name: 'echo', json: '{"text":"x"}' }),
        ...toolBlock(1, { id: 'toolu_b', name: 'endless', json: '{}' }),
      ),
    ])
    for await (const event of agentAt(provider.baseURL, { tools: [echo, endless] }).stream(requestOf('Go'), never)) {
      if (event.type === 'tool_result') break
    }
    await expect(aborted.promise).resolves.toBeUndefined()
  })

  it('are asked for at most maxCycles times, and the last call is not run', async () => {
    let runs = 0
    const counted = tool({ name: 'counted', description: 'Counts', input: z.object({}), run: () => String(++runs) })
    const again = (id: string) => oneCycle(...toolBlock(0, { id, name: 'counted', json: '{}' }))
    const { error, requests } = await ask([again('toolu_1'), again('toolu_2'), again('toolu_3')], {
      tools: [counted],
      maxCycles: 3,
    })
    expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', data: { kind: 'max_cycles' } })
    expect(requests).toHaveLength(3)
    expect(runs).toBe(2)
  })

  it('go on after a pause of the provider', async () => {
    const paused = stream(start, ...textBlock(0, 'First '), ...end('pause_turn'))
    const { events, requests, error } = await ask([paused, stream(start, ...textBlock(0, 'then.'), ...end('end_turn'))])
    expect(error).toBeUndefined()
    expect(contentOf(events)).toEqual([
      { type: 'text', text: 'First ' },
      { type: 'text', text: 'then.' },
    ])
    expect(requests[1]?.body.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
  })

  it('are given back the signed thinking of their cycle unchanged', async () => {
    const thinking = [
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm.' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'sig' } },
      { type: 'content_block_stop', index: 0 },
    ]
    const calls = oneCycle(...thinking, ...toolBlock(1, { id: 'toolu_a', name: 'echo', json: '{"text":"x"}' }))
    const { requests } = await ask([calls, done], { tools: [echo] })
    expect(requests[1]?.body.messages[1]?.content[0]).toEqual({ type: 'thinking', thinking: 'Hm.', signature: 'sig' })
  })
})

describe('options', () => {
  it('give an agent with the waits and the window asked for', () => {
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
  ])('that are wrong are refused at start: %s', (field, options) => {
    expect(() => claude(options)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIGURATION' }))
    expect(() => claude(options)).toThrow(field)
  })

  it('refuse a tool whose input is no object, or whose name the API would refuse', () => {
    const asCode = expect.objectContaining({ code: 'INVALID_CONFIGURATION' })
    expect(() => tool({ ...twice, name: 'a', input: z.string() })).toThrow(asCode)
    expect(() => tool({ ...twice, name: 'a', input: z.object({ at: z.date() }) })).toThrow(asCode)
    expect(() => tool({ ...twice, name: 'a b' })).toThrow(asCode)
  })
})
