/** Content beyond text, through an agent of the AI SDK: its own tools, images, files of the model, sources, tools of the provider. */
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { aiSdk } from '@verbatim/ai-sdk/agent'
import { sourcesOf, textOf } from '@verbatim/core'
import { resultBlocks, tool as ownTool } from '@verbatim/core/claude'
import { openTelemetry } from '@verbatim/core/opentelemetry'
import type { Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { listen } from '@verbatim/test-kit/http'
import {
  callEnd,
  callStart,
  serverToolBlock,
  startProvider,
  streaming,
  textBlock,
  wholeBlock,
} from '@verbatim/test-kit/provider'
import { tool } from 'ai'
import { MockLanguageModelV4, simulateReadableStream } from 'ai/test'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { openDatabase, openEngine, shortLeases as options } from '../support/engine.ts'
import { ada, answerFrom, followAll } from '../support/follow.ts'
import { chat, responses, sending, startOpenAi } from '../support/open-ai.ts'
import type { OpenAi } from '../support/open-ai.ts'
import { registerSdk, treeOf } from '../support/telemetry.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openDatabase()
})
afterAll(async () => await database[Symbol.asyncDispose]())

const apiKey = 'k'
const png = 'iVBORw0KGgo='
const responsesAt = ({ url }: OpenAi) => createOpenAI({ apiKey, baseURL: url }).responses('gpt-5')
const says = (text: string) => sending(responses.start, ...responses.text([text]), responses.end())
const calls = (name: string, json: string) => sending(responses.start, ...responses.call(name, [json]), responses.end())

async function ask(
  engine: Engine,
  message: Parameters<Engine['runs']['start']>[1]['message'] = 'Go',
  sessionId: string = crypto.randomUUID(),
) {
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { runId, sessionId, message })
  return answerFrom(await followAll(engine, runId))
}

describe('Tools of the AI SDK', () => {
  it('run as its own would: with the checked input, who asks, and the form that the model shall receive', async () => {
    await using served = await startOpenAi(calls('map', '{"city":"Oslo"}'), says('There'))
    const seen: unknown[] = []
    const map = tool({
      description: 'A map',
      inputSchema: z.object({ city: z.string().toUpperCase() }),
      contextSchema: z.object({ principal: z.object({ userId: z.string() }) }),
      async *execute({ city }, { toolCallId, context, messages }) {
        seen.push([city, toolCallId, context, messages.length])
        yield await Promise.resolve('half')
        yield 'whole'
      },
      toModelOutput: ({ output }) => ({
        type: 'content',
        value: [
          { type: 'text', text: output },
          { type: 'file', mediaType: 'image/png', data: { type: 'data', data: png } },
        ],
      }),
    })
    const pin = ownTool({ name: 'pin', description: 'A pin', input: z.object({}), run: () => 'pinned' })
    await using engine = openEngine(database, {
      agents: [aiSdk({ id: 'a', model: responsesAt(served), tools: { map, pin } })],
      options,
    })
    const { content } = await ask(engine)
    expect(seen).toEqual([['OSLO', 'call_1', { principal: { userId: 'ada' } }, 1]])
    expect(content.find(({ type }) => type === 'tool_result')).toMatchObject({
      content: [
        { type: 'text', text: 'whole' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
      ],
    })
    expect(served.calls[0]?.body.tools).toMatchObject([{ name: 'map' }, { name: 'pin' }])
    expect(served.calls[1]?.body.input?.at(-1)).toMatchObject({
      type: 'function_call_output',
      output: [{ type: 'input_text', text: 'whole' }, { type: 'input_image' }],
    })
  })

  it('do not run on an input that does not fit, and the model receives which part of it', async () => {
    await using served = await startOpenAi(calls('map', '{"city":7}'), says('Sorry'))
    const execute = vi.fn<() => string>(() => 'never')
    const map = tool({ description: 'A map', inputSchema: z.object({ city: z.string() }), execute })
    await using engine = openEngine(database, {
      agents: [aiSdk({ id: 'a', model: responsesAt(served), tools: { map } })],
      options,
    })
    await ask(engine)
    expect(execute).not.toHaveBeenCalled()
    expect(JSON.stringify(served.calls[1]?.body.input?.at(-1))).toContain('The input does not fit the tool: city')
  })

  const inputSchema = z.object({})
  it.each([
    ['wants an approval', { one: tool({ inputSchema, needsApproval: true, execute: () => 'x' }) }, /needs an approval/],
    ['has nothing to execute', { one: tool({ inputSchema, outputSchema: z.string() }) }, /has no execute/],
    [
      'has another name than its key',
      { one: ownTool({ name: 'two', description: '', input: inputSchema, run: () => 'x' }) },
      /names two/,
    ],
  ])('a tool that %s is refused when the agent is made', (_what, tools, message) => {
    const model = createOpenAI({ apiKey })('gpt-5')
    expect(() => aiSdk({ id: 'a', model, tools })).toThrow(message)
  })
})

it('Images go to the model, and the server fetches no address that a user names', async () => {
  let fetched = 0
  await using site = await listen((_request, response) => {
    fetched++
    response.end()
  })
  await using served = await startOpenAi(sending(...chat.text('Seen'), ...chat.end()))
  const model = createOpenAI({ apiKey, baseURL: served.url }).chat('local-1')
  await using engine = openEngine(database, { agents: [aiSdk({ id: 'a', model })], options })
  const answer = await ask(engine, [
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
    { type: 'image', source: { type: 'url', url: `${site.url}/secret.png` } },
    { type: 'document', title: 'Notes', source: { type: 'text', media_type: 'text/plain', data: 'Plain words' } },
  ])
  expect(textOf(answer.content)).toBe('Seen')
  expect(served.calls[0]?.body.messages).toMatchObject([
    {
      content: [
        { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
        { type: 'image_url', image_url: { url: `${site.url}/secret.png` } },
        { type: 'text', text: '<document>\nNotes\n\nPlain words\n</document>' },
      ],
    },
  ])
  expect(fetched).toBe(0)
})

it('Blocks of a tool of tool() reach the model as files', async () => {
  await using served = await startOpenAi(calls('draw', '{}'), says('There'))
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } } as const
  const draw = ownTool({ name: 'draw', description: 'Draws', input: z.object({}), run: () => resultBlocks(image) })
  await using engine = openEngine(database, {
    agents: [aiSdk({ id: 'a', model: responsesAt(served), tools: [draw] })],
    options,
  })
  await ask(engine)
  expect(served.calls[1]?.body.input?.at(-1)).toMatchObject({ output: [{ type: 'input_image' }] })
})

it("Pages that the provider's own search found are sources of the answer, and its call and results go back to it", async () => {
  // In the order in which the AI SDK writes it: the provider compares the JSON.
  const found = {
    url: 'https://a.example/',
    title: 'A',
    page_age: null,
    encrypted_content: 'sealed',
    type: 'web_search_result',
  }
  const citation = {
    type: 'web_search_result_location',
    cited_text: 'so',
    url: found.url,
    title: 'A',
    encrypted_index: 'i',
  }
  const [start, delta, stop] = textBlock('It is so', 2)
  const cited = { type: 'content_block_delta', index: 2, delta: { type: 'citations_delta', citation } }
  await using provider = await startProvider(
    streaming(
      callStart(),
      ...serverToolBlock(0, { id: 'srvtoolu_1', name: 'web_search', input: { query: 'q' } }),
      ...wholeBlock(1, { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [found] } as {
        type: string
      }),
      ...[start, cited, delta, stop].filter((event) => event !== undefined),
      ...callEnd(),
    ),
    streaming(callStart(), ...textBlock('Yes'), ...callEnd()),
  )
  const anthropic = createAnthropic({ apiKey, baseURL: `${provider.url}/v1` })
  const tools = { web_search: anthropic.tools.webSearch_20250305() }
  await using engine = openEngine(database, {
    agents: [aiSdk({ id: 'a', model: anthropic('claude-sonnet-5-5'), tools })],
    options,
  })
  const sessionId = crypto.randomUUID()
  const answer = await ask(engine, 'Search', sessionId)
  expect(answer.content.map(({ type }) => type)).toEqual([
    'server_tool_use',
    'web_search_tool_result',
    'text',
    'model_metadata',
  ])
  expect(sourcesOf(answer.content)).toEqual([{ url: 'https://a.example/', title: 'A' }])
  await ask(engine, 'Sure?', sessionId)
  expect(provider.complaints).toEqual([])
  expect(provider.calls[1]?.body.messages[1]?.content).toMatchObject([
    { type: 'server_tool_use', id: 'srvtoolu_1', input: { query: 'q' } },
    { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [{ encrypted_content: 'sealed' }] },
    { type: 'text', text: 'It is so', citations: [{ encrypted_index: 'i' }] },
  ])
})

/** Any provider's model, that says `chunks` in each call. */
function modelOf(...chunks: Parameters<typeof simulateReadableStream>[0]['chunks']) {
  const inputTokens = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 }
  const usage = { inputTokens, outputTokens: { total: 1, text: 1, reasoning: 0 } }
  const finish = { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage }
  return new MockLanguageModelV4({
    doStream: async () =>
      await Promise.resolve({ stream: simulateReadableStream({ chunks: [...chunks, finish] }) as never }),
  })
}

it('What a provider says of its words goes back to it, but for what is no JSON', async () => {
  const providerMetadata = { any: { kept: { deep: ['a'] }, missing: undefined, odd: 1n } }
  const model = modelOf(
    { type: 'text-start', id: '1', providerMetadata },
    { type: 'text-delta', id: '1', delta: 'Well' },
    { type: 'text-end', id: '1', providerMetadata: { any: { also: 'b' } } },
  )
  await using engine = openEngine(database, { agents: [aiSdk({ id: 'a', model })], options })
  const sessionId = crypto.randomUUID()
  await ask(engine, 'One', sessionId)
  await ask(engine, 'Two', sessionId)
  const [, answer] = model.doStreamCalls[1]?.prompt ?? []
  expect(answer).toMatchObject({
    role: 'assistant',
    content: [{ text: 'Well', providerOptions: { any: { kept: { deep: ['a'] }, also: 'b' } } }],
  })
})

it('Files and sources that a model makes are parts of the answer', async () => {
  const model = modelOf(
    { type: 'source', sourceType: 'url', id: 's1', url: 'https://b.example/', title: 'B' },
    { type: 'text-start', id: '1' },
    { type: 'text-delta', id: '1', delta: 'Look' },
    { type: 'text-end', id: '1' },
    { type: 'file', mediaType: 'image/png', data: { type: 'data', data: png } },
    { type: 'file', mediaType: 'image/png', data: { type: 'url', url: new URL('https://b.example/c.png') } },
    { type: 'file', mediaType: 'audio/wav', data: { type: 'data', data: png } },
  )
  await using engine = openEngine(database, { agents: [aiSdk({ id: 'a', model })], options })
  const { content } = await ask(engine)
  expect(sourcesOf(content)).toEqual([{ url: 'https://b.example/', title: 'B' }])
  expect(content).toMatchObject([
    { type: 'text', text: 'Look' },
    { type: 'image', source: { type: 'base64', data: png } },
    { type: 'image', source: { type: 'url', url: 'https://b.example/c.png' } },
    { type: 'file', media_type: 'audio/wav', data: png },
    { type: 'model_metadata' },
  ])
})

it('A span of each model call and of each tool stands below that of the run', async () => {
  const sdk = registerSdk()
  await using served = await startOpenAi(calls('pin', '{}'), says('There'))
  const pin = ownTool({ name: 'pin', description: 'A pin', input: z.object({}), run: () => 'pinned' })
  const agents = [aiSdk({ id: 'a', model: responsesAt(served), tools: [pin] })]
  await using engine = openEngine(database, { agents, options, wrap: () => ({ telemetry: openTelemetry() }) })
  const { traceId, spanId } = await sdk.asCaller(async () => await ask(engine))
  expect(treeOf(sdk.spans(traceId), spanId)).toMatchObject({
    '0 invoke_agent a': { '0 chat gpt-5': {}, '1 execute_tool pin': {}, '2 chat gpt-5': {} },
  })
  const call = sdk.spans(traceId).find(({ name }) => name === 'chat gpt-5')
  expect(call?.attributes).toMatchObject({ 'gen_ai.provider.name': 'openai', 'gen_ai.usage.output_tokens': 5 })
})
