/** What of a session reaches the model: each request here is judged by the strict provider of the test kit. */
import { Anthropic } from '@anthropic-ai/sdk'
import type { Middleware } from '@anthropic-ai/sdk/core/middleware'
import { callEnd, callStart, textBlock, toolBlock } from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall } from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Message } from '../contract/message.ts'
import { claude, tool } from './claude.ts'
import type { ClaudeOptionsInput } from './claude.ts'
import { openSession, thinking, thoughtOf, thoughtsIn, yes } from './testing/agent-session.ts'
import { claudeAt, messagesOf } from './testing/ask-agent.ts'

describe('thinking', () => {
  it('thinking is kept as long as the messages before it are the same, through 40 prompts in one session', async () => {
    await using session = await openSession()
    const agent = session.agent()
    for (let prompt = 0; prompt < 40; prompt++) expect((await session.prompt(agent)).error).toBeUndefined()
    const { provider } = session
    expect(provider.complaints).toEqual([])
    const counts = thoughtsIn(provider)
    expect(counts.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, at) => at))
    // The window moves on in steps, and only with a step is the thinking lost.
    const losses = counts.filter((count, at) => count < (counts[at - 1] ?? 0)).length
    expect(losses).toBeGreaterThan(0)
    expect(losses).toBeLessThanOrEqual(5)
  })

  it.each<[string, ClaudeOptionsInput]>([
    ['system prompt', { system: 'Be another.' }],
    ['model', { model: 'claude-opus-5-5' }],
    ['list of tools', { tools: [tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => '' })] }],
  ])('another %s drops the thinking of earlier answers and keeps that of later ones', async (_what, changed) => {
    await using session = await openSession()
    await session.prompt(session.agent({ system: 'Be one.' }))
    const other = session.agent(changed)
    await session.prompt(other)
    await session.prompt(other)
    expect(session.provider.complaints).toEqual([])
    expect(thoughtsIn(session.provider)).toEqual([0, 0, 1])
  })

  it('thinking of another provider, of an older store or of an appended message is dropped', async () => {
    await using session = await openSession()
    const foreign = { type: 'thinking' as const, thinking: '?', signature: 'foreign' }
    session.store({ role: 'user', content: [{ type: 'text', text: 'Hi' }] })
    session.store({ role: 'assistant', content: [foreign, { type: 'text', text: 'Hello' }] })
    session.store({ role: 'user', content: [{ type: 'text', text: 'Hi' }] })
    session.store({
      role: 'assistant',
      content: [
        { ...foreign, boundTo: 'elsewhere' },
        { type: 'text', text: 'Hello' },
      ],
    })
    expect((await session.prompt(session.agent())).error).toBeUndefined()
    expect(thoughtsIn(session.provider)).toEqual([0])
  })

  it('thinking goes back with its tool call, and in later turns with the results between', async () => {
    const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => 'seen' })
    let calls = 0
    await using session = await openSession((call) => {
      const asks = calls++ === 0
      const words = asks ? toolBlock(1, { id: 'a:b.c', name: 'look' }) : textBlock('Done.', 1)
      call.send(callStart(), ...thoughtOf(call), ...words, ...callEnd(asks ? 'tool_use' : 'end_turn'))
      call.end()
    })
    const agent = session.agent({ tools: [look] })
    await session.prompt(agent)
    await session.prompt(agent)
    expect(session.provider.complaints).toEqual([])
    expect(thoughtsIn(session.provider)).toEqual([0, 1, 2])
  })

  it('thinking that the provider refuses all the same is left out, and the prompt is answered', async () => {
    const wrong =
      'messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.'
    await using session = await openSession((call) => {
      const has = JSON.stringify(call.body.messages).includes('"thinking"')
      if (has) call.refuseAs('invalid_request_error', wrong)
      else void thinking(call)
    })
    const agent = session.agent()
    await session.prompt(agent)
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(thoughtsIn(session.provider)).toEqual([0, 1, 0])
  })
})

describe('a long session', () => {
  const small = { contextTokens: 60_000, maxTokens: 1_000, compaction: false }
  const sizesOf = ({ calls }: Provider) => calls.map(({ body }) => body.messages.length)

  it('a long session loses whole turns, oldest first, until the request fits', async () => {
    await using session = await openSession(yes, { ...small, tokensPerByte: 0.3 })
    const agent = session.agent(small)
    for (const text of ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(60_000))) await session.prompt(agent, text)
    expect(await session.prompt(agent, 'Still there?')).toMatchObject({ error: undefined })
    expect(session.provider.complaints).toEqual([])
    expect(sizesOf(session.provider)).toEqual([1, 3, 3, 3, 5])
    expect(session.provider.calls.at(-1)?.body.messages[0]?.content[0]?.['text']).toMatch(/^c/)
  })

  it('a request that the provider counts as too long is made smaller once, and the agent learns the rate', async () => {
    await using session = await openSession(yes, { ...small, tokensPerByte: 0.7 })
    const agent = session.agent(small)
    const long = [{ type: 'text' as const, text: 'x'.repeat(40_000) }]
    for (let turn = 0; turn < 3; turn++) {
      session.store({ role: 'user', content: long })
      session.store({ role: 'assistant', content: [{ type: 'text', text: 'Yes.' }] })
    }
    for (let prompt = 0; prompt < 3; prompt++) {
      expect(await session.prompt(agent, 'x'.repeat(10_000))).toMatchObject({ error: undefined })
    }
    expect(session.provider.complaints).toHaveLength(1)
    expect(session.provider.complaints[0]).toMatch(/^prompt is too long/)
  })

  it('a request that gets a 413 without a number is cut by half', async () => {
    await using session = await openSession((call) => {
      if (call.json.length > 100_000) call.refuseAs('request_too_large', 'Request exceeds the maximum size')
      else void yes(call)
    })
    const agent = session.agent()
    for (let prompt = 0; prompt < 4; prompt++) {
      expect(await session.prompt(agent, 'x'.repeat(45_000))).toMatchObject({ error: undefined })
    }
  })

  it('one smaller request suffices where the turns that stay have more tokens a byte than those that leave', async () => {
    let largest = 0
    // The provider counts four tokens for each character that is not of the Latin alphabet.
    const count = (json: string) => Math.ceil(json.length * 0.25 + (json.match(/文/g)?.length ?? 0) * 2)
    await using session = await openSession((call) => {
      const tokens = count(call.json)
      if (tokens > 60_000) {
        largest++
        call.refuseAs('invalid_request_error', `prompt is too long: ${tokens} tokens > 60000 maximum`)
        return
      }
      call.send(callStart({ input: tokens }), ...textBlock('Yes.'), ...callEnd())
      call.end()
    })
    const agent = session.agent(small)
    for (const text of ['x'.repeat(70_000), '文'.repeat(16_000), 'x'.repeat(5_000), '文'.repeat(10_000)]) {
      expect(await session.prompt(agent, text)).toMatchObject({ error: undefined })
    }
    expect(largest).toBeLessThanOrEqual(2)
  })

  it.each([
    ['no counts', 'Request exceeds the maximum size', 'request_too_large'],
    ['no counts in its words', 'The input is too long for the context window', 'invalid_request_error'],
  ] as const)(
    'a provider that refuses the smaller request too and tells %s ends the run, and the next prompt is answered',
    async (_what, words, type) => {
      const limit = 60_000
      let requests = 0
      await using session = await openSession((call) => {
        requests++
        if (call.json.length > limit) call.refuseAs(type, words)
        else void yes(call)
      })
      const agent = session.agent()
      for (let turn = 0; turn < 8; turn++) {
        session.store({ role: 'user', content: [{ type: 'text', text: 'x'.repeat(20_000) }] })
        session.store({ role: 'assistant', content: [{ type: 'text', text: 'Yes.' }] })
      }
      expect(await session.prompt(agent)).toMatchObject({
        error: { code: 'PROVIDER_REFUSED', data: { kind: 'too_large' } },
      })
      expect(requests).toBe(2)
      expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    },
  )

  it('the counts of a refusal that adds the answer to the request are learned', async () => {
    await using session = await openSession((call) => {
      const tokens = Math.ceil(call.json.length / 2)
      const words = `input length and \`max_tokens\` exceed context limit: ${tokens} + 1000 > 60000, decrease input length`
      if (tokens + 1_000 > 60_000) call.refuseAs('invalid_request_error', words)
      else void yes(call)
    })
    const agent = session.agent({ ...small, contextTokens: 200_000 })
    for (let prompt = 0; prompt < 5; prompt++) {
      expect(await session.prompt(agent, 'x'.repeat(45_000))).toMatchObject({ error: undefined })
    }
  })

  it('outputs of tools that are too much together give way, the oldest first, and the session goes on', async () => {
    const read = tool({ name: 'read', description: 'Reads', input: z.object({}), run: () => 'x'.repeat(50_000) })
    let calls = 0
    await using session = await openSession(
      (call) => {
        const asks = calls++ < 6
        const words = asks ? toolBlock(0, { id: 'call_0', name: 'read' }) : textBlock('Done.')
        call.send(callStart({ input: call.tokens }), ...words, ...callEnd(asks ? 'tool_use' : 'end_turn'))
        call.end()
      },
      { ...small, tokensPerByte: 0.35 },
    )
    const agent = session.agent({ ...small, tools: [read] })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(await session.prompt(agent, 'And?')).toMatchObject({ error: undefined })
    expect(session.provider.complaints).toEqual([])
    expect(session.provider.calls[6]?.json).toContain('no longer fits and was left out')
  })

  it('a message that is too large by itself is a typed error that names it, and the next prompt is answered', async () => {
    await using session = await openSession(yes, small)
    const agent = session.agent(small)
    expect(await session.prompt(agent, 'x'.repeat(500_000))).toMatchObject({
      error: { code: 'MESSAGE_TOO_LARGE', data: { field: 'message', maxBytes: expect.any(Number) } },
    })
    expect(await session.prompt(agent, 'Short')).toMatchObject({ error: undefined })
    expect(session.provider.complaints).toEqual([])
  })

  it('a conversation that is there whole is sent whole, wherever its first message stands', async () => {
    await using session = await openSession(yes)
    session.messages.push(
      ...messagesOf(
        Array.from({ length: 20 }, (_, at) => `${at}`),
        3,
      ),
    )
    await session.prompt(session.agent())
    expect(session.provider.calls[0]?.body.messages).toHaveLength(21)
  })

  it('a summary takes the place of the turns that are left out, and the session goes on without one that fails', async () => {
    await using session = await openSession(yes, small)
    const left: number[] = []
    const summarize = (messages: readonly Message[]) => {
      left.push(messages.length)
      if (left.length > 1) throw new Error('no summary today')
      return 'They spoke of letters.'
    }
    const agent = session.agent({ ...small, compaction: undefined, summarize })
    for (let prompt = 0; prompt < 4; prompt++) await session.prompt(agent, 'x'.repeat(60_000))
    const [first] = session.provider.calls.flatMap(({ body }) =>
      body.messages[0]?.content.length === 2 ? [body.messages[0]] : [],
    )
    expect(first?.content[0]).toEqual({ type: 'text', text: 'They spoke of letters.' })
    expect(await session.prompt(agent, 'Still there?')).toMatchObject({ error: undefined })
  })
})

describe('the input of a tool', () => {
  const written = '{"10": 2512292042121000001, "2": 1.50}'
  const find = tool({
    name: 'find',
    description: 'Finds',
    input: z.looseObject({ '10': z.union([z.int(), z.string()]) }),
    run: ({ 10: id }) => `found ${id}`,
  })
  const textOf = ({ body }: { body?: unknown }) => (typeof body === 'string' ? body : '')
  /** Asks for the tool in the first call that it answers. */
  const finding = () => {
    let calls = 0
    return (call: ProviderCall) => {
      const asks = calls++ === 0
      const words = asks ? toolBlock(0, { id: 't', name: 'find', json: written }) : textBlock('Done.')
      call.send(callStart(), ...words, ...callEnd(asks ? 'tool_use' : 'end_turn'))
      call.end()
    }
  }

  it('the input of a tool goes back to the model as it wrote it, and to the tool with every digit', async () => {
    await using session = await openSession(finding())
    const agent = session.agent({ tools: [find] })
    expect((await session.prompt(agent)).content[1]).toMatchObject({ content: 'found 2512292042121000001' })
    await session.prompt(agent)
    for (const { json } of session.provider.calls.slice(1)) expect(json).toContain(`"input":${written}`)
  })

  it('the input of a tool goes as strings and not rounded through a client that writes the JSON anew', async () => {
    await using session = await openSession(finding())
    class OtherPlatform extends Anthropic {
      protected override backendMiddleware(): readonly Middleware[] {
        return [async (request, next) => await next({ ...request, body: JSON.stringify(JSON.parse(textOf(request))) })]
      }
    }
    const client = new OtherPlatform({ apiKey: 'k', baseURL: session.provider.url, logLevel: 'off' })
    const agent = claude({ client, tools: [find], maxRetries: 0 })
    await session.prompt(agent)
    expect(session.provider.calls[1]?.json).toContain('"input":{"2":1.5,"10":"2512292042121000001"}')
  })

  it('middleware of a client reads and changes the request as before', async () => {
    await using session = await openSession(finding())
    const seen: unknown[] = []
    const client = new Anthropic({
      apiKey: 'k',
      baseURL: session.provider.url,
      logLevel: 'off',
      middleware: [
        async (request, next) => {
          seen.push(JSON.parse(textOf(request)))
          return await next({ ...request, body: textOf(request).replace('{"stream"', '{"metadata":{},"stream"') })
        },
      ],
    })
    await session.prompt(claude({ client, tools: [find], maxRetries: 0 }))
    expect(seen).toHaveLength(2)
    expect(session.provider.calls[1]?.body).toMatchObject({ metadata: {} })
  })

  it('half of a character goes to the model as the character that stands for what is missing', async () => {
    let calls = 0
    await using session = await openSession((call) => {
      const half = { type: 'thinking_delta', thinking: 'Hm \ud83d' }
      const asks = calls++ === 0
      const words = asks
        ? [
            ...textBlock('Well \ud83d', 1),
            ...toolBlock(2, { id: 't', name: 'find', json: '{"10":"\\ud83d","\\udc00":1}' }),
          ]
        : textBlock('Done.', 1)
      const [start, , ...rest] = thoughtOf(call)
      call.send(callStart(), ...(start ? [start] : []), { type: 'content_block_delta', index: 0, delta: half }, ...rest)
      call.send(...words, ...callEnd(asks ? 'tool_use' : 'end_turn'))
      call.end()
    })
    const agent = session.agent({ tools: [find] })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(session.provider.calls[1]?.json).toContain('"Well \ufffd"')
    expect(session.provider.calls[1]?.json).toContain('"input":{"10":"\ufffd","\ufffd":1}')
    expect(session.provider.complaints).toEqual([])
  })

  it('the input of a tool goes as strings to a provider that refuses it as the model wrote it', async () => {
    const answer = finding()
    await using session = await openSession((call) => {
      if (call.json.includes(written)) call.refuseAs('invalid_request_error', 'The request body is not valid JSON')
      else answer(call)
    })
    const agent = session.agent({ tools: [find] })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
  })
})

describe('the defaults', () => {
  it('the default asks a model that thinks by itself to show its words between two tools', async () => {
    await using session = await openSession()
    await session.prompt(session.agent())
    await session.prompt(session.agent({ model: 'claude-opus-4-8' }))
    await session.prompt(session.agent({ thinking: { type: 'between_tools' } }))
    expect(session.provider.calls.map(({ body }) => body['thinking'])).toEqual([
      { type: 'adaptive', display: 'summarized' },
      undefined,
      { type: 'between_tools' },
    ])
    expect(session.provider.complaints).toEqual([])
  })

  const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => '' })

  it('the default request has no parameter that Sonnet 5.5 refuses, with tools and without', async () => {
    await using session = await openSession()
    await session.prompt(session.agent())
    await session.prompt(session.agent({ system: 'Be brief.', tools: [look] }))
    const [plain, full] = session.provider.calls.map(({ body }) => body)
    const common = { stream: true, model: 'claude-sonnet-5-5', max_tokens: 16_384 }
    // No forced tool, no sampling, no budget: no other field than these.
    expect(plain).toEqual({
      ...common,
      messages: expect.any(Array),
      thinking: { type: 'adaptive', display: 'summarized' },
    })
    expect(full).toEqual({
      ...common,
      system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
      tools: [{ name: 'look', description: 'Looks', input_schema: expect.any(Object) }],
      thinking: { type: 'adaptive', display: 'summarized' },
      messages: expect.any(Array),
    })
    expect(session.provider.calls[0]?.headers['anthropic-beta']).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
  })

  it.each([
    'claude-sonnet-5-5',
    'claude-opus-5-5',
    'claude-fable-5-1',
    'claude-haiku-5-5',
    'claude-sonnet-5',
    'claude-opus-4-8',
    'claude-sonnet-4-6',
    'claude-haiku-4-5',
    'some-other-model',
  ])('the defaults make requests that %s takes, through tools and a second turn', async (model) => {
    let calls = 0
    await using session = await openSession((call) => {
      const asks = calls++ === 0
      const words = asks ? toolBlock(1, { id: 't', name: 'look' }) : textBlock('Done.', 1)
      call.send(callStart(), ...thoughtOf(call), ...words, ...callEnd(asks ? 'tool_use' : 'end_turn'))
      call.end()
    })
    const agent = session.agent({ model, tools: [look] })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(await session.prompt(agent)).toMatchObject({ error: undefined })
    expect(session.provider.complaints).toEqual([])
  })

  it.each<ClaudeOptionsInput>([
    { thinking: { type: 'disabled' } },
    { thinking: { type: 'enabled', budget_tokens: 2_048 } },
    { maxTokens: 200_000 },
    { contextTokens: 10_000 },
  ])('an option that the model is known to refuse is refused at start: %j', (options) => {
    expect(() => claudeAt('http://localhost', options)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIGURATION' }),
    )
  })
})
