/** What a system prompt and a tool of Claude know of the run: who asks, in which session, with which input. */
import { callEnd, callStart, saying, startProvider, streaming, toolBlock } from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { errorOf, VerbatimError } from '../contract/errors.ts'
import { agentRequest } from '../testing/agent-request.ts'
import { claude, tool } from './claude.ts'
import type { ClaudeOptionsInput, ToolContext } from './claude.ts'
import { claudeAt, collect, messagesOf, never } from './testing/ask-agent.ts'

const request = agentRequest({
  principal: { userId: 'grace', tenantId: 'acme' },
  session: { id: 'session-1', title: 'Orders' },
  input: { language: 'de' },
  messages: messagesOf(['Where is my order?']),
})
const { messages: _messages, emit, ...scope } = request

async function ask(options: ClaudeOptionsInput, signal = never) {
  await using provider = await startProvider(saying('Hi'))
  const outcome = await collect(claudeAt(provider.url, options).stream(request, signal))
  return { ...outcome, bodies: provider.calls.map(({ body }) => body) }
}

describe('a system prompt that is a function', () => {
  it('a system prompt is made of the principal, the session and the input of each run', async () => {
    const seen: unknown[] = []
    const { bodies } = await ask({
      system: async ({ signal, ...of }) => {
        seen.push(of, signal.aborted)
        await Promise.resolve()
        return `You answer ${of.principal.userId} in ${JSON.stringify(of.input)}.`
      },
    })
    expect(seen).toEqual([scope, false])
    expect(bodies[0]).toMatchObject({ system: [{ type: 'text', text: 'You answer grace in {"language":"de"}.' }] })
  })

  it('a function may make no system prompt, and a blank one is none', async () => {
    for (const made of [undefined, '', ' \n']) {
      const { bodies, error } = await ask({ system: () => made })
      expect(error).toBeUndefined()
      expect(bodies[0]).not.toHaveProperty('system')
    }
  })

  it('what the function throws ends the run, before the model is asked', async () => {
    const { bodies, error } = await ask({
      system: () => {
        throw new VerbatimError('UNAVAILABLE')
      },
    })
    expect(error).toMatchObject({ code: 'UNAVAILABLE' })
    expect(bodies).toEqual([])
  })

  it('a run that is stopped does not wait for its system prompt', async () => {
    const stop = new AbortController()
    const asking = ask({ system: () => new Promise(() => stop.abort('stopped')) }, stop.signal)
    expect((await asking).error).toBe('stopped')
  })
})

it('a tool knows who asks, the session and the input of the run', async () => {
  const seen: ToolContext[] = []
  const look = tool({
    name: 'look',
    description: 'Looks at its context',
    input: z.object({}),
    run(_input, context) {
      seen.push(context)
      return 'seen'
    },
  })
  const call = [callStart(), ...toolBlock(0, { id: 'toolu_a', name: 'look' }), ...callEnd('tool_use')]
  await using provider = await startProvider(streaming(...call), saying('Done'))
  const { error } = await collect(claudeAt(provider.url, { tools: [look] }).stream(request, never))
  expect(error).toBeUndefined()
  const context = {
    ...scope,
    toolCallId: 'toolu_a',
    inputJson: '{}',
    signal: expect.any(AbortSignal),
    emit: expect.any(Function),
  }
  expect(seen).toEqual([context])
})

describe('the progress of a tool', () => {
  const toolCall = [callStart(), ...toolBlock(0, { id: 'toolu_a', name: 'work' }), ...callEnd('tool_use')]

  /** Runs a tool, and answers what it emitted and what came of it. */
  async function work(run: (context: ToolContext) => Promise<string>, more: ClaudeOptionsInput = {}) {
    const emitted: unknown[] = []
    const listening = { ...request, emit: async (...given: Parameters<typeof emit>) => void emitted.push(given) }
    const worker = tool({
      name: 'work',
      description: 'Works',
      input: z.object({}),
      run: async (_input, context) => await run(context),
    })
    await using provider = await startProvider(streaming(...toolCall), saying('Done'))
    const { events } = await collect(claudeAt(provider.url, { tools: [worker], ...more }).stream(listening, never))
    return { emitted, results: events.filter(({ type }) => type === 'tool_result') }
  }

  it('a tool emits while it runs', async () => {
    const { emitted, results } = await work(async ({ emit: say }) => {
      await say('progress', { done: 1 }, { id: 'work' })
      await say('progress', { done: 2 }, { id: 'work' })
      return 'worked'
    })
    expect(emitted).toEqual([
      ['progress', { done: 1 }, { id: 'work' }],
      ['progress', { done: 2 }, { id: 'work' }],
    ])
    expect(results).toMatchObject([{ content: 'worked', is_error: false }])
  })

  it('what a tool emits after its answer is refused, and a tool need not wait for it', async () => {
    let late: ToolContext['emit'] | undefined
    const { emitted } = await work(async ({ emit: say }) => {
      late = say
      return await Promise.resolve('worked')
    })
    void late?.('progress', 1) // a rejection that nothing handles would fail this test
    await expect(late?.('progress', 2)).rejects.toMatchObject({ code: 'RUN_FENCED' })
    expect(emitted).toEqual([])
  })

  it('a tool whose time is over emits no more', async () => {
    const refused = Promise.withResolvers<unknown>()
    const { emitted, results } = await work(
      async ({ emit: say, signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        await say('progress', 1).catch(refused.resolve)
        return 'too late'
      },
      { toolTimeoutMs: 20 },
    )
    expect(await refused.promise).toMatchObject({ code: 'RUN_FENCED' })
    expect(emitted).toEqual([])
    expect(results).toMatchObject([{ is_error: true }])
  })

  it('a tool that emits too much fails with the reason, and the model goes on', async () => {
    const { results } = await work(async ({ emit: say }) => {
      await say('progress', 1)
      throw errorOf('TOO_MUCH_DATA')
    })
    expect(results).toMatchObject([{ is_error: true, content: expect.stringContaining('as much data as it may') }])
  })
})

it('claude() takes an input schema, and refuses what is none', () => {
  const input = z.object({ language: z.string() })
  expect(claude({ apiKey: 'k', input }).input).toBe(input)
  const none = {} as never // as a JavaScript program may give it
  expect(() => claude({ apiKey: 'k', input: none })).toThrow(/input must be a zod schema/)
})
