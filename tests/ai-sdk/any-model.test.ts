/** One agent over every model: the real AI SDK and its real providers, over the wire of each, through the engine into MongoDB. */
import { aiSdk } from '@verbatim/ai-sdk/agent'
import { textOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { tool } from '@verbatim/core/claude'
import type { ToolContext } from '@verbatim/core/claude'
import type { Agent, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { apiKey, providerSecret, wires } from '../support/any-model.ts'
import type { Served } from '../support/any-model.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, startRun } from '../support/follow.ts'

let database: TestDatabase
const printed = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn'), vi.spyOn(process, 'emitWarning')]
beforeAll(async () => {
  database = await openDatabase()
})
afterAll(async () => await database[Symbol.asyncDispose]())

type Options = Omit<Parameters<typeof aiSdk>[0], 'id' | 'model'>

function agentOf(served: Served, options: Options = {}): Agent {
  return aiSdk({ id: 'any', model: served.model, random: () => 0, ...options })
}

interface Asked {
  readonly events: readonly RunEvent[]
  readonly answer: ReturnType<typeof answerFrom>
  readonly message: Awaited<ReturnType<typeof answerMessage>>
}

/** Asks in a session of its own. */
async function ask(
  agent: Agent,
  { engine, ...input }: { engine?: Engine; sessionId?: string; message?: string } = {},
): Promise<Asked> {
  await using own = engine === undefined ? openEngine(database, { agents: [agent], options: shortLeases }) : undefined
  const asked = engine ?? own
  if (asked === undefined) throw new Error('There is no engine')
  const runId = await startRun(asked, { sessionId: crypto.randomUUID(), message: 'My secret prompt', ...input })
  const events = await followAll(asked, runId)
  return { events, answer: answerFrom(events), message: await answerMessage(asked, runId) }
}

/** Nothing of the prompt, the key or the provider's words leaves by the log or the console. */
function expectNoLeak(asked: Asked): void {
  for (const spy of printed) expect(spy).not.toHaveBeenCalled()
  expect(JSON.stringify(asked.events)).not.toMatch(
    new RegExp(`${apiKey}|${providerSecret}|secret prompt|127\\.0\\.0\\.1`),
  )
}

const City = z.object({ city: z.string() })

describe.each(wires)('Over %s', (_name, wire) => {
  it('text comes as it is streamed, and the stored message is what was streamed', async () => {
    await using served = await wire.serve(wire.says('Hel', 'lo ', 'there'))
    const asked = await ask(agentOf(served, { system: 'Be brief' }))
    expect(textOf(asked.answer.content)).toBe('Hello there')
    expect(asked.answer).toMatchObject({
      status: 'completed',
      metrics: { inputTokens: 10, outputTokens: 5, stopReason: 'end_turn' },
    })
    expect(asked.message.content).toEqual(asked.answer.content)
    expect(served.asked()[0]).toContain('Be brief')
    expectNoLeak(asked)
  })

  it('tools run side by side once their calls are stored, and what they answer or throw goes back to the model', async () => {
    const { promise: both, resolve: onBoth } = Promise.withResolvers<void>()
    await using served = await wire.serve(
      wire.calls({ name: 'weather', parts: ['{"ci', 'ty":"Oslo"}'] }, { name: 'fails', parts: ['{"city":"Rome"}'] }),
      wire.says('It rains'),
    )
    const seen: ToolContext[] = []
    const run = async (context: ToolContext): Promise<void> => {
      // What a follower sees is durable.
      const types = await typesUntilStop(engine, context.runId)
      expect(types.at(-1)).toBe('message_stop')
      seen.push(context)
      if (seen.length === 2) onBoth()
      await both
    }
    const weather = tool({
      name: 'weather',
      description: 'The weather',
      input: City,
      run: async ({ city }, context) => {
        await run(context)
        return `Rain in ${city}`
      },
    })
    const fails = tool({
      name: 'fails',
      description: 'Fails',
      input: City,
      run: async (_city, context) => {
        await run(context)
        throw new Error('a secret of the server')
      },
    })
    await using engine = openEngine(database, {
      agents: [agentOf(served, { tools: [weather, fails] })],
      options: shortLeases,
    })
    const asked = await ask(agentOf(served), { engine })
    expect(asked.answer).toMatchObject({ status: 'completed', metrics: { cycles: 2 } })
    expect(asked.answer.content.filter(({ type }) => type === 'tool_use' || type === 'tool_result')).toMatchObject([
      { name: 'weather', input: { city: 'Oslo' } },
      { name: 'fails', input: { city: 'Rome' } },
      { content: 'Rain in Oslo', is_error: false },
      { content: 'The tool failed', is_error: true },
    ])
    expect(seen.map(({ principal, inputJson }) => [principal.userId, inputJson])).toEqual([
      ['ada', '{"city":"Oslo"}'],
      ['ada', '{"city":"Rome"}'],
    ])
    expect(served.asked()[1]).toMatch(/Rain in Oslo/)
    expect(served.asked()[1]).not.toMatch(/a secret/)
    expect(served.complaints()).toEqual([])
  })

  it('a tool whose input was cut off does not run, and the model receives why', async () => {
    await using served = await wire.serve(
      wire.cutsCall({ name: 'weather', parts: ['{"city": "O'] }),
      wire.says('Sorry'),
    )
    const run = vi.fn<() => string>(() => 'never')
    const weather = tool({ name: 'weather', description: 'The weather', input: City, run })
    const { answer } = await ask(agentOf(served, { tools: [weather] }))
    expect(run).not.toHaveBeenCalled()
    expect(answer.content.find(({ type }) => type === 'tool_use')).toMatchObject({ inputJson: '{"city": "O' })
    expect(textOf(answer.content)).toBe('Sorry')
    expect(answer.content.find(({ type }) => type === 'tool_result')).toMatchObject({ is_error: true })
    expect(served.asked()[1]).toContain('was not whole')
  })

  it('the input of a tool stays as the model wrote it, digit for digit', async () => {
    const json = '{ "id": 12345678901234567890, "2": 1e400, "a": "\\ud83d\\ude00", "1": 0.10 }'
    const parts = [json.slice(0, 17), json.slice(17, 50), json.slice(50)]
    await using served = await wire.serve(wire.calls({ name: 'book', parts }), wire.says('Done'))
    const seen: [unknown, string][] = []
    const run = (input: object, { inputJson }: ToolContext) => void seen.push([input, inputJson])
    const book = tool({
      name: 'book',
      description: 'Books',
      input: z.looseObject({}),
      run: (input, context) => run(input, context) ?? 'ok',
    })
    const { message } = await ask(agentOf(served, { tools: [book] }))
    expect(seen).toEqual([[{ '1': 0.1, '2': '1e400', a: '😀', id: '12345678901234567890' }, json]])
    expect(message.content.find(({ type }) => type === 'tool_use')).toMatchObject({ inputJson: json })
  })

  it.each([429, 529, 503])(
    'a refusal with %i before the first token is retried after the wait that the provider asks for',
    async (status) => {
      await using served = await wire.serve(wire.refuses(status, { 'retry-after': '0.02' }), wire.says('Here'))
      const asked = await ask(agentOf(served))
      expect(asked.events.find(({ type }) => type === 'run_retrying')).toMatchObject({
        attempt: 1,
        delayMs: 20,
        error: { code: 'PROVIDER_ERROR', data: { providerStatus: status, retryAfterMs: 20 } },
      })
      expect(textOf(asked.answer.content)).toBe('Here')
      expectNoLeak(asked)
    },
  )

  it('credentials that the provider refuses end the run at once, with nothing of its words', async () => {
    await using served = await wire.serve(wire.refuses(401))
    const asked = await ask(agentOf(served))
    expect(asked.answer).toMatchObject({
      status: 'failed',
      error: { code: 'PROVIDER_REFUSED', data: { kind: 'credentials' } },
    })
    expectNoLeak(asked)
  })

  it('an answer that is cut after its first token fails with what was said, and is not asked for again', async () => {
    await using served = await wire.serve(wire.cutsAfter('Half'), wire.says('Twice'))
    const asked = await ask(agentOf(served))
    expect(asked.answer).toMatchObject({ status: 'failed', error: { code: 'PROVIDER_ERROR', data: { kind: 'cut' } } })
    expect(textOf(asked.message.content)).toBe('Half')
    expect(served.asked()).toHaveLength(1)
    expectNoLeak(asked)
  })

  it('an error in the stream is tried again before the first token, and ends the run after it', async () => {
    await using served = await wire.serve(wire.failsAfter(), wire.failsAfter('Half'), wire.says('Twice'))
    const asked = await ask(agentOf(served))
    const data = { kind: expect.stringMatching(/^(rate_limit|overloaded)$/), providerStatus: expect.any(Number) }
    expect(asked.events.find(({ type }) => type === 'run_retrying')).toMatchObject({ error: { data } })
    expect(asked.answer).toMatchObject({ status: 'failed', error: { code: 'PROVIDER_ERROR', data } })
    expect(textOf(asked.message.content)).toBe('Half')
    expect(served.asked()).toHaveLength(2)
    expectNoLeak(asked)
  })

  it('a conversation that is too long for the provider goes on with less of it', async () => {
    await using served = await wire.serve(wire.says('One'), wire.isTooLong(), wire.says('Two'))
    const agent = agentOf(served)
    const sessionId = crypto.randomUUID()
    await ask(agent, { sessionId, message: 'x'.repeat(60_000) })
    const { answer } = await ask(agent, { sessionId, message: 'Again' })
    expect(textOf(answer.content)).toBe('Two')
    const [, tooLong = '', shorter = ''] = served.asked()
    expect([tooLong.length > 60_000, shorter.includes('xxx'), shorter.includes('Again')]).toEqual([true, false, true])
  })

  it('a prompt that is too long by itself ends the run with a typed error, and is asked once', async () => {
    await using served = await wire.serve(wire.isTooLong())
    const { answer } = await ask(agentOf(served))
    expect(answer).toMatchObject({
      status: 'failed',
      error: { code: 'PROVIDER_REFUSED', data: { kind: 'too_large', providerStatus: 400 } },
    })
    expect(served.asked()).toHaveLength(1)
  })

  it('an answer that a filter stops is refused, and later calls do not hold it', async () => {
    await using served = await wire.serve(wire.filters('Well'), wire.says('Gladly'))
    const agent = agentOf(served)
    const sessionId = crypto.randomUUID()
    const { answer } = await ask(agent, { sessionId, message: 'Do evil' })
    expect(answer).toMatchObject({ status: 'refused', metrics: { stopReason: 'refusal' } })
    await ask(agent, { sessionId, message: 'Do good' })
    expect(served.asked()[1]).not.toContain('Do evil')
  })

  it('a run that is cancelled hangs up on the provider', async () => {
    await using served = await wire.serve(wire.hangsAfter('Half'))
    await using engine = openEngine(database, { agents: [agentOf(served)], options: shortLeases })
    const runId = await startRun(engine, { sessionId: crypto.randomUUID() })
    const events = await followAll(engine, runId, {
      onBatch: async ({ events: committed }) => {
        if (committed.some(({ type }) => type === 'content_block_delta')) await engine.runs.cancel(ada, runId)
      },
    })
    await served.hungUp()
    expect(answerFrom(events)).toMatchObject({ status: 'cancelled', content: [{ type: 'text', text: 'Half' }] })
  })

  it('an output schema is asked of the model and checked before the run completes', async () => {
    await using served = await wire.serve(wire.says('{"city":', '"Oslo"}'), wire.says('{"town":"Oslo"}'))
    // For models that the provider's package does not know yet.
    const providerOptions = { anthropic: { structuredOutputMode: 'outputFormat' } }
    const agent = agentOf(served, { output: City, providerOptions })
    expect(await ask(agent)).toMatchObject({ answer: { status: 'completed' }, message: { output: { city: 'Oslo' } } })
    const { answer } = await ask(agent)
    expect(answer).toMatchObject({ status: 'failed', error: { code: 'OUTPUT_INVALID', data: { field: 'city' } } })
    expect(served.asked()[0]).toMatch(/json_schema/)
  })
})

async function typesUntilStop(engine: Engine, runId: string): Promise<string[]> {
  const types: string[] = []
  for await (const { events } of engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(20_000) })) {
    types.push(...events.map(({ type }) => type))
    if (types.at(-1) === 'message_stop') break
  }
  return types
}
