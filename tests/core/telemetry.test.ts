/** Spans and metrics of the real engine and the real `claude()`, taken by a real SDK of OpenTelemetry. */
import { createApi } from '@verbatim/api'
import { claude, tool, ToolError } from '@verbatim/core/claude'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import { openTelemetry } from '@verbatim/core/opentelemetry'
import type { OpenTelemetryOptions } from '@verbatim/core/opentelemetry'
import type { Agent, Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { json, serve } from '@verbatim/test-kit/http'
import {
  callEnd,
  callStart,
  compacting,
  refusing,
  startProvider,
  startProviderOf,
  streaming,
  textBlock,
  thinkingBlock,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { trace } from '@opentelemetry/api'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { answerOf, manualAgent, messageEnd, messageStart, pacedAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'
import { registerSdk, treeOf } from '../support/telemetry.ts'

let database: TestDatabase
beforeAll(async () => void (database = await openDatabase()))
afterAll(async () => await database[Symbol.asyncDispose]())

const open = (agents: readonly Agent[], options: OpenTelemetryOptions = {}) =>
  openEngine(database, { agents, options: shortLeases, wrap: () => ({ telemetry: openTelemetry(options) }) })

let sessions = 0
const newSession = () => `session-${++sessions}`
const runsOf = () => database.client.db(database.databaseName).collection<{ id: string; traceparent?: string }>('runs')
const storedTrace = async (runId: string) => (await runsOf().findOne({ id: runId }))?.traceparent

async function answered(engine: Engine, input: Parameters<typeof startRun>[1] = {}) {
  const runId = await startRun(engine, { sessionId: newSession(), ...input })
  return { runId, events: await followAll(engine, runId) }
}

it('telemetry without an SDK stores nothing with a run and changes nothing of it', async () => {
  await using engine = open([pacedAgent(answerOf(['Hello']))])
  const { runId, events } = await answered(engine)
  expect(answerFrom(events).status).toBe('completed')
  expect(await runsOf().findOne({ id: runId })).not.toHaveProperty('traceparent')
})

describe('with an SDK', () => {
  let sdk: ReturnType<typeof registerSdk>
  beforeAll(() => void (sdk = registerSdk()))
  beforeEach(async () => await sdk.clear())

  const secret = 'canary-7f3a'
  const weather = tool({
    name: 'get_weather',
    description: 'The weather of a city',
    input: z.object({ city: z.string() }),
    async run({ city }) {
      return await trace.getTracer('tool').startActiveSpan('query', async (span) => {
        span.end()
        if (city.startsWith('Atlantis')) throw new ToolError(`There is no ${city}`)
        return `Rain in ${city}`
      })
    },
  })
  const usage = { input: 10, cacheRead: 20, cacheWrite: 30 }
  const asks = (city: string) =>
    streaming(
      callStart(usage),
      ...thinkingBlock(0, `They ask of ${secret}`, 'sig'),
      ...toolBlock(1, { id: 'toolu_1', name: 'get_weather', input: { city } }),
      ...callEnd('tool_use', { output: 7 }),
    )
  const says = streaming(callStart(), ...textBlock(`It rains, ${secret}`), ...callEnd())

  async function askClaude(replies: readonly ProviderReply[], options: ClaudeOptionsInput & OpenTelemetryOptions = {}) {
    const { recordContent = false, ...claudeOptions } = options
    await using provider = await startProvider(...replies)
    const system = `You know ${secret}`
    const given = { apiKey: 'k', baseURL: provider.url, random: () => 0, tools: [weather], system, ...claudeOptions }
    await using engine = open([claude(given)], { recordContent })
    const called = await sdk.asCaller(async () => await answered(engine, { message: `How is it in ${secret}?` }))
    return { ...called, ...called.result, answer: answerFrom(called.result.events) }
  }

  it('a turn with a tool is a tree of spans below its caller: the run, its model calls, the tool, the end', async () => {
    const { traceId, spanId, runId } = await askClaude([asks('Rome'), says])
    const spans = sdk.spans(traceId)
    expect(treeOf(spans, spanId)).toEqual({
      '0 invoke_agent claude': {
        '0 chat claude-sonnet-5-5': {},
        '1 execute_tool get_weather': { '0 query': {} },
        '2 chat claude-sonnet-5-5': {},
        '3 verbatim.end_run': {},
      },
      '1 verbatim.follow': {},
    })
    const of = (name: string) => spans.find((span) => span.name === name)
    expect(of('invoke_agent claude')).toMatchObject({
      kind: 'INTERNAL',
      isError: false,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.agent.name': 'claude',
        'gen_ai.provider.name': 'anthropic',
        'gen_ai.request.model': 'claude-sonnet-5-5',
        'gen_ai.response.finish_reasons': ['end_turn'],
        'gen_ai.usage.input_tokens': 70,
        'gen_ai.usage.output_tokens': 12,
        'verbatim.run.id': runId,
        'verbatim.run.status': 'completed',
      },
    })
    expect(of('chat claude-sonnet-5-5')).toMatchObject({
      kind: 'CLIENT',
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'anthropic',
        'gen_ai.request.model': 'claude-sonnet-5-5',
        'gen_ai.request.max_tokens': 16_384,
        'gen_ai.response.finish_reasons': ['tool_use'],
        'gen_ai.response.time_to_first_chunk': expect.any(Number),
        'gen_ai.usage.input_tokens': 60,
        'gen_ai.usage.cache_read.input_tokens': 20,
        'gen_ai.usage.cache_creation.input_tokens': 30,
        'gen_ai.usage.output_tokens': 7,
      },
    })
    expect(of('execute_tool get_weather')?.attributes).toMatchObject({
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'get_weather',
      'gen_ai.tool.call.id': 'toolu_1',
      'gen_ai.tool.type': 'function',
    })
    expect(await storedTrace(runId)).toBe(`00-${traceId}-${spanId}-01`)
  })

  it('a turn is counted in the metrics of the conventions, with their units', async () => {
    await askClaude([asks('Rome'), says])
    const metrics = await sdk.metrics()
    const counts = [...metrics].map(([name, { unit, points }]) => [name, unit, points.map(({ count }) => count)])
    expect(counts.toSorted(([a], [b]) => String(a).localeCompare(String(b)))).toEqual([
      ['gen_ai.client.operation.duration', 's', [2]],
      ['gen_ai.client.operation.time_to_first_chunk', 's', [2]],
      ['gen_ai.client.token.usage', '{token}', [2, 2]],
      ['gen_ai.execute_tool.duration', 's', [1]],
      ['gen_ai.invoke_agent.duration', 's', [1]],
      ['verbatim.commit.duration', 's', [expect.any(Number)]],
      ['verbatim.followers.active', '{follower}', [0]],
      ['verbatim.runs.active', '{run}', [0]],
    ])
    expect(metrics.get('gen_ai.client.token.usage')?.points[0]?.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': 'claude-sonnet-5-5',
      'gen_ai.response.model': 'claude-sonnet-5-5',
      'gen_ai.token.type': 'input',
    })
  })

  it('no span and no metric holds a word of a prompt, an answer, a tool or an error', async () => {
    await askClaude([refusing(529), asks(`Atlantis of ${secret}`), says])
    const failed = await askClaude([refusing(400)])
    const own = pacedAgent([], {
      id: 'own',
      stream() {
        throw new Error(`No answer for ${secret}`)
      },
    })
    await using engine = open([own])
    await answered(engine, { message: secret })
    expect(failed.answer.status).toBe('failed')
    const text = await sdk.text()
    expect(text).toContain('execute_tool get_weather')
    expect(text).not.toContain(secret)
  })

  it('errors are recorded by their code: of a run, a model call, a retry and a tool', async () => {
    const failed = await askClaude([refusing(529), refusing(400)])
    const spans = sdk.spans(failed.traceId)
    const chat = spans.find(({ name }) => name.startsWith('chat'))
    const error = { isError: true, attributes: { 'error.type': 'PROVIDER_REFUSED' } }
    expect(chat).toMatchObject(error)
    expect(spans.find(({ name }) => name.startsWith('invoke_agent'))).toMatchObject(error)
    expect(await sdk.text()).toMatch(/"name":"verbatim.retry","time":[^{]*"attributes":{"error.type":"PROVIDER_ERROR"/)
    const asked = await askClaude([asks('Atlantis'), says])
    const failedTool = sdk.spans(asked.traceId).find(({ name }) => name.startsWith('execute_tool'))
    expect(failedTool).toMatchObject({ isError: true, attributes: { 'error.type': 'ToolError' } })
    const durations = (await sdk.metrics()).get('gen_ai.invoke_agent.duration')?.points
    expect(durations?.map(({ attributes }) => attributes['error.type'])).toEqual(['PROVIDER_REFUSED', undefined])
  })

  it('content is recorded where the option asks for it, in the form of the conventions', async () => {
    const { traceId } = await askClaude([asks('Rome'), says], { recordContent: true })
    const [first, second] = sdk.spans(traceId).filter(({ name }) => name.startsWith('chat'))
    const parsed = (span: typeof first, name: string) => JSON.parse(String(span?.attributes[name])) as unknown
    expect(parsed(first, 'gen_ai.system_instructions')).toEqual([{ type: 'text', content: `You know ${secret}` }])
    expect(parsed(first, 'gen_ai.input.messages')).toEqual([
      { role: 'user', parts: [{ type: 'text', content: `How is it in ${secret}?` }] },
    ])
    expect(parsed(first, 'gen_ai.output.messages')).toEqual([
      {
        role: 'assistant',
        finish_reason: 'tool_use',
        parts: [
          { type: 'reasoning', content: `They ask of ${secret}` },
          { type: 'tool_call', id: 'toolu_1', name: 'get_weather', arguments: { city: 'Rome' } },
        ],
      },
    ])
    expect(parsed(second, 'gen_ai.input.messages')).toMatchObject([
      {},
      {},
      { parts: [{ type: 'tool_call_response', id: 'toolu_1', response: 'Rain in Rome' }] },
    ])
    expect(sdk.spans(traceId).find(({ name }) => name.startsWith('execute_tool'))?.attributes).toMatchObject({
      'gen_ai.tool.call.arguments': '{"city":"Rome"}',
      'gen_ai.tool.call.result': 'Rain in Rome',
    })
  })

  it('a prompt that waits in the queue keeps the trace of its own caller', async () => {
    const gate = createGate()
    const agent: Agent = {
      id: 'slow',
      async *stream() {
        await gate.pass()
        yield* answerOf(['Done'])
      },
    }
    await using engine = open([agent])
    const sessionId = newSession()
    const start = async () =>
      await sdk.asCaller(async () => {
        const run = { sessionId, runId: crypto.randomUUID(), message: 'Hi', whenBusy: 'queue' as const }
        await engine.runs.start(ada, run)
        return run.runId
      })
    const [first, second] = [await start(), await start()]
    gate.open()
    await followAll(engine, second.result)
    for (const caller of [first, second]) {
      const of = () => sdk.spans(caller.traceId).find(({ name }) => name === 'invoke_agent slow')
      await vi.waitFor(() => expect(of()?.parentId).toBe(caller.spanId), waitOptions)
      expect(of()?.attributes).toMatchObject({
        'verbatim.run.id': caller.result,
        'verbatim.run.queued': caller === second,
      })
    }
  })

  it('a run that goes on in another process after a crash stays in the trace of its caller', async () => {
    const options = { ...shortLeases, recoveryMs: 30 }
    const wrap = () => ({ telemetry: openTelemetry() })
    const speaker = manualAgent({ id: 'speaker', onCrash: 'continue' })
    await using lost = openCrashableEngine(database, { agents: [speaker], options, wrap })
    const sessionId = newSession()
    const caller = await sdk.asCaller(async () => await startRun(lost.engine, { sessionId }))
    speaker.say('One, ')
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    await lost.crash()
    const speech = pacedAgent(answerOf(['two']), { id: 'speaker', onCrash: 'continue' })
    await using taker = openEngine(database, { agents: [speech], options, wrap })
    const { continuedBy } = answerFrom(await followAll(taker, caller.result))
    await followAll(taker, continuedBy ?? '')
    const spans = () => sdk.spans(caller.traceId)
    await vi.waitFor(() => {
      const continuing = spans().find(({ attributes }) => attributes['verbatim.run.id'] === continuedBy)
      expect(continuing).toBeDefined()
    }, waitOptions)
    const ends = spans().filter(({ name }) => name === 'verbatim.end_run')
    expect(ends.map(({ attributes }) => attributes['verbatim.run.status'])).toContain('interrupted')
    await vi.waitFor(() => {
      const runs = spans().filter(({ name }) => name === 'invoke_agent speaker')
      expect(runs.map(({ attributes }) => attributes['verbatim.run.continuation_of'])).toContain(caller.result)
      expect(runs.every(({ parentId }) => parentId === caller.spanId)).toBe(true)
    }, waitOptions)
  })

  it('a run that was only begun when its process was lost is begun anew in the trace of its caller', async () => {
    const options = { ...shortLeases, recoveryMs: 30 }
    const wrap = () => ({ telemetry: openTelemetry() })
    await using lost = openCrashableEngine(database, { agents: [manualAgent({ id: 'silent' })], options, wrap })
    const caller = await sdk.asCaller(async () => await startRun(lost.engine, { sessionId: newSession() }))
    await lost.crash()
    await using taker = openEngine(database, {
      agents: [pacedAgent(answerOf(['Hi']), { id: 'silent' })],
      options,
      wrap,
    })
    await followAll(taker, caller.result)
    await vi.waitFor(() => {
      const resumed = sdk.spans(caller.traceId).filter(({ attributes }) => attributes['verbatim.run.resumptions'] === 1)
      expect(resumed.map(({ parentId }) => parentId)).toEqual([caller.spanId])
    }, waitOptions)
  })

  it('the API takes the trace that a request names, by tRPC and by the plain endpoints, and no malformed one', async () => {
    await using engine = open([pacedAgent(answerOf(['Hello']))])
    const api = createApi({ engine, authenticate: () => ({ userId: 'ada' }) })
    await using site = await serve(api)
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const good = `00-${traceId}-b7ad6b7169203331-01`
    const post = async (path: string, body: object, traceparent: string) => {
      const { headers, ...rest } = json(body)
      return await site.fetch(path, { ...rest, headers: { ...headers, traceparent } })
    }
    const start = async (traceparent: string) => {
      const runId = crypto.randomUUID()
      await post('/trpc/runs.start', { runId, sessionId: newSession(), message: 'Hi' }, traceparent)
      await followAll(engine, runId)
      return await storedTrace(runId)
    }
    expect(await start(good)).toBe(good)
    const plain = await post('/chat/stream', { sessionId: newSession(), message: 'Hi' }, good)
    await plain.text()
    expect(await storedTrace(plain.headers.get('x-run-id') ?? '')).toBe(good)
    const zeros = `00-${'0'.repeat(32)}-b7ad6b7169203331-01`
    for (const wrong of ['', 'x'.repeat(4_000), zeros, `${good}, ${good}`, `00-${traceId}-1-01`]) {
      expect(await start(wrong)).toBeUndefined()
    }
    const runs = () => sdk.spans(traceId).filter(({ name }) => name === 'invoke_agent paced')
    await vi.waitFor(
      () => expect(runs().map(({ parentId }) => parentId)).toEqual(['b7ad6b7169203331', 'b7ad6b7169203331']),
      waitOptions,
    )
  })

  it('a run without a caller in a trace begins a trace, and nothing of it is stored', async () => {
    await using engine = open([pacedAgent(answerOf(['Hello']))])
    const { runId } = await answered(engine)
    const span = () => sdk.spans().find(({ name }) => name === 'invoke_agent paced')
    await vi.waitFor(() => expect(span()).toMatchObject({ parentId: undefined }), waitOptions)
    expect(await runsOf().findOne({ id: runId })).not.toHaveProperty('traceparent')
  })

  it('an agent that reports nothing is described by its events', async () => {
    const call = { type: 'tool_use' as const, id: 'call_1', name: 'look_up', input: { q: secret } }
    const events = [
      messageStart(3),
      { type: 'content_block' as const, index: 0, content_block: call },
      ...messageEnd('tool_use', 2),
      { type: 'tool_result' as const, tool_use_id: 'call_1', content: secret, is_error: true, durationMs: 250 },
      ...answerOf(['Hello']),
    ]
    await using engine = open([pacedAgent(events)])
    const { traceId, spanId } = await sdk.asCaller(async () => await answered(engine))
    await vi.waitFor(
      () => expect(sdk.spans(traceId).some(({ name }) => name === 'invoke_agent paced')).toBe(true),
      waitOptions,
    )
    expect(treeOf(sdk.spans(traceId), spanId)).toMatchObject({
      '0 invoke_agent paced': {
        '0 chat scripted-1': {},
        '1 execute_tool look_up': {},
        '2 chat scripted-1': {},
        '3 verbatim.end_run': {},
      },
    })
    const found = sdk.spans(traceId).find(({ name }) => name === 'execute_tool look_up')
    expect(found).toMatchObject({ ms: 250, isError: true, attributes: { 'error.type': 'tool_error' } })
    expect(await sdk.text()).not.toContain(secret)
  })

  it('a start that is refused is counted by its code, in the metrics of the engine too', async () => {
    const options = { ...shortLeases, limits: { principal: { startsPerMinute: 1 } } }
    const wrap = () => ({ telemetry: openTelemetry() })
    await using engine = openEngine(database, { agents: [pacedAgent(answerOf(['Hello']))], options, wrap })
    await answered(engine)
    await expect(answered(engine)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
    expect(engine.stats().startsRefused).toEqual({ RATE_LIMITED: 1 })
    const refused = (await sdk.metrics()).get('verbatim.starts.refused')
    expect(refused?.points).toMatchObject([{ count: 1, attributes: { 'error.type': 'RATE_LIMITED' } }])
  })

  it('a call that summarizes the conversation is a model call of the run, with its tokens', async () => {
    const yes: ProviderReply = (call) => {
      call.send(callStart({ input: call.tokens }), ...textBlock('Yes.'), ...callEnd())
      call.end()
    }
    await using provider = await startProviderOf(
      ({ body }) => (body['compaction'] === undefined ? yes : compacting('They spoke of x.')),
      { tokensPerByte: 0.4 },
    )
    const agent = claude({ apiKey: 'k', baseURL: provider.url, contextTokens: 60_000, maxTokens: 1_000 })
    await using engine = open([agent])
    const run = { sessionId: newSession(), message: 'x'.repeat(20_000) }
    for (let turn = 0; turn < 6; turn++) await answered(engine, run)
    const summary = () =>
      sdk.spans().filter(({ attributes }) => String(attributes['gen_ai.response.finish_reasons']) === 'compaction')
    expect(summary()).toHaveLength(1)
    expect(summary()[0]?.attributes['gen_ai.usage.input_tokens']).toBeGreaterThan(30_000)
    expect(await sdk.text()).not.toContain('They spoke')
  })

  it('a cancelled run is no error, and its model call ends with it', async () => {
    const held: ProviderReply = (call) => call.send(callStart(), ...textBlock('Half').slice(0, 2))
    await using provider = await startProvider(held)
    await using engine = open([claude({ apiKey: 'k', baseURL: provider.url })])
    const caller = await sdk.asCaller(async () => {
      const runId = await startRun(engine, { sessionId: newSession() })
      await followAll(engine, runId, {
        onBatch: async ({ events }) => {
          if (events.some(({ type }) => type === 'content_block_delta')) await cancel(runId)
        },
      })
    })
    async function cancel(runId: string) {
      await engine.runs.cancel(ada, runId)
    }
    const ended = () => sdk.spans(caller.traceId).filter(({ name }) => /^(chat|invoke_agent) /.test(name))
    await vi.waitFor(() => expect(ended()).toHaveLength(2), waitOptions)
    expect(ended().map(({ isError, attributes }) => [isError, attributes['error.type']])).toEqual([
      [false, 'cancelled'],
      [false, 'cancelled'],
    ])
  })

  it('commits are spans of their own with links to their runs, where the option asks for them', async () => {
    await using engine = open([pacedAgent(answerOf(['Hello']))], { commitSpans: true })
    const { traceId } = await sdk.asCaller(async () => await answered(engine))
    await vi.waitFor(
      () => expect(sdk.spans(traceId).some(({ name }) => name === 'invoke_agent paced')).toBe(true),
      waitOptions,
    )
    const run = sdk.spans(traceId).find(({ name }) => name === 'invoke_agent paced')
    const commits = sdk.spans().filter(({ name }) => name === 'verbatim.commit')
    expect(commits.length).toBeGreaterThan(0)
    expect(commits.every(({ parentId, links }) => parentId === undefined && links[0] === run?.id)).toBe(true)
    expect(sdk.spans(traceId).find(({ name }) => name === 'verbatim.follow')?.links).toEqual([run?.id])
  })
})
