/** What a system prompt and a tool of Claude know of the run: who asks, in which session, with which input. */
import { callEnd, callStart, saying, startProvider, streaming, toolBlock } from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { VerbatimError } from '../contract/errors.ts'
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
const { messages: _messages, ...scope } = request

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
  expect(seen).toEqual([{ ...scope, inputJson: '{}', signal: expect.any(AbortSignal) }])
})

it('claude() takes an input schema, and refuses what is none', () => {
  const input = z.object({ language: z.string() })
  expect(claude({ apiKey: 'k', input }).input).toBe(input)
  const none = {} as never // as a JavaScript program may give it
  expect(() => claude({ apiKey: 'k', input: none })).toThrow(/input must be a zod schema/)
})
