/** Strands agents as agents of the real engine, with the real SDK and a scripted model. */
import {
  Agent,
  BeforeInvocationEvent,
  ConstantBackoff,
  DefaultModelRetryStrategy,
  ModelThrottledError,
  SessionManager,
  tool,
} from '@strands-agents/sdk'
import type { ModelStreamEvent, ToolContext } from '@strands-agents/sdk'
import { ownerOf, Principal } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { SessionManager as VerbatimSession } from '@verbatim/core/server'
import type { Agent as VerbatimAgent } from '@verbatim/core/server'
import { createGate, openTestEngine } from '@verbatim/core/testing'
import type { TestEngine } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { z } from 'zod'
import { begin, calling, end, saying, ScriptedModel, textBlock } from '../testing/scripted-model.ts'
import type { ScriptedCall } from '../testing/scripted-model.ts'
import { runOf } from './run-of.ts'
import { strands } from './strands.ts'

const owner = ownerOf(Principal.parse({ userId: 'ada' }))
let opened: TestEngine

beforeAll(async () => {
  opened = await openTestEngine({ uri: inject('mongoUri'), agents: [strands(agentOf([saying('Hello')]))] })
})

afterAll(async () => await opened[Symbol.asyncDispose]())

function agentOf(script: readonly ScriptedCall[], more: ConstructorParameters<typeof Agent>[0] = {}): Agent {
  return new Agent({ model: new ScriptedModel(script), printer: false, ...more })
}

function openSession() {
  const { engine } = opened
  return new VerbatimSession({ engine, owner, sessionId: crypto.randomUUID(), release: () => Promise.resolve() })
}

async function ask(agent: VerbatimAgent, prompt = 'Hi', session = openSession()): Promise<Message> {
  return await session.send(prompt, { agent }).message
}

const lookUp = (callback: (input: { city: string }, context?: ToolContext) => Promise<string> | string) =>
  tool({
    name: 'look_up',
    description: 'Looks something up',
    inputSchema: z.object({ city: z.string() }),
    callback,
  })

describe('a Strands agent as an agent of the engine', () => {
  it('Text and reasoning come as they are streamed, with the tokens and the model', async () => {
    const thinking: ModelStreamEvent[] = [
      { type: 'modelContentBlockStartEvent' },
      { type: 'modelContentBlockDeltaEvent', delta: { type: 'reasoningContentDelta', text: 'Hm.' } },
      { type: 'modelContentBlockDeltaEvent', delta: { type: 'reasoningContentDelta', signature: 'sig' } },
      { type: 'modelContentBlockStopEvent' },
    ]
    const run = openSession().send('Hi', {
      agent: strands(agentOf([[...begin, ...thinking, ...textBlock('Hel', 'lo'), ...end('endTurn')]])),
    })
    let text = ''
    for await (const piece of run.text) text += piece
    const { content, status, metrics } = await run.message
    expect(text).toBe('Hello')
    expect({ content, status }).toEqual({
      status: 'completed',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: 'sig' },
        { type: 'text', text: 'Hello' },
      ],
    })
    expect(metrics).toMatchObject({
      inputTokens: 7,
      outputTokens: 3,
      cycles: 1,
      model: 'scripted-strands',
      stopReason: 'end_turn',
    })
  })

  it('A call of a tool is stored before the tool runs, and its result after it', async () => {
    const session = openSession()
    const inStore: unknown[] = []
    const looking = lookUp(async ({ city }) => {
      const events = opened.database.client.db(opened.database.databaseName).collection('run_events')
      const all = await events.find().toArray()
      inStore.push(...all.filter((document) => JSON.stringify(document).includes('toolu_1')))
      return `Sunny in ${city}`
    })
    const model = [calling({ name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' }), saying('It is sunny.')]
    const message = await ask(strands(agentOf(model, { tools: [looking] })), 'Weather?', session)
    expect(inStore.length).toBeGreaterThan(0)
    expect(message.content).toEqual([
      { type: 'text', text: 'Let me look. ' },
      { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: { city: 'Bern' } },
      { type: 'tool_result', tool_use_id: 'toolu_1', content: 'Sunny in Bern', is_error: false },
      { type: 'text', text: 'It is sunny.' },
    ])
    expect(message.metrics).toMatchObject({
      cycles: 2,
      tools: [{ name: 'look_up', calls: 1, successes: 1, errors: 0 }],
    })
  })

  it('A tool that throws answers with an error, and the run goes on', async () => {
    const failing = lookUp(() => {
      throw new Error('The lake is closed')
    })
    const model = [calling({ name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' }), saying('I could not look.')]
    const message = await ask(strands(agentOf(model, { tools: [failing] })))
    expect(message.content[2]).toMatchObject({ type: 'tool_result', is_error: true })
    expect(message.metrics?.tools).toMatchObject([{ name: 'look_up', errors: 1 }])
    expect(message.status).toBe('completed')
  })

  it("The session's history is the agent's messages: paired, in turn, without another run's traces", async () => {
    const session = openSession()
    const model = new ScriptedModel([
      calling({ name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' }),
      saying('It is sunny.'),
      saying('As I said.'),
    ])
    const shared = new Agent({ model, printer: false, tools: [lookUp(() => 'Sunny')], appState: { count: 1 } })
    const agent = strands(shared)
    await ask(agent, 'Weather?', session)
    shared.appState.set('count', 2)
    await ask(agent, 'Sure?', session)
    expect(model.calls.at(-1)?.map(({ role, content }) => [role, content.map(({ type }) => type)])).toEqual([
      ['user', ['textBlock']],
      ['assistant', ['textBlock', 'toolUseBlock']],
      ['user', ['toolResultBlock']],
      ['assistant', ['textBlock']],
      ['user', ['textBlock']],
    ])
    expect(shared.appState.get('count')).toBe(1)
  })

  it('An agent that is given itself serves two runs one after the other, and a factory serves them side by side', async () => {
    const gate = createGate()
    let most = 0
    let now = 0
    const slowly: ScriptedCall = async function* () {
      most = Math.max(most, ++now)
      await gate.pass()
      now--
      yield* saying('Done')
    }
    const shared = strands(agentOf([slowly]))
    const two = [ask(shared), ask(shared)]
    await gate.reached()
    gate.release()
    await expect.poll(() => gate.arrivals).toBe(2)
    gate.release()
    await Promise.all(two)
    expect(most).toBe(1)
    const made = strands(() => agentOf([slowly]))
    const both = [ask(made), ask(made)]
    await expect.poll(() => gate.arrivals).toBe(4)
    gate.release(2)
    await Promise.all(both)
    expect(most).toBe(2)
  })

  it('A cancel keeps what was streamed, and the agent serves the next run', async () => {
    const gate = createGate()
    const agent = strands(
      agentOf([
        async function* (_messages, { cancelSignal }) {
          yield* [...begin, ...textBlock('Half of it')]
          await gate.pass(cancelSignal)
        },
        saying('Whole'),
      ]),
    )
    const session = openSession()
    const run = session.send('Hi', { agent })
    for await (const _text of run.text) await run.cancel()
    const message = await run.message
    expect([message.status, message.content]).toEqual(['cancelled', [{ type: 'text', text: 'Half of it' }]])
    expect((await ask(agent, 'Again', session)).content).toEqual([{ type: 'text', text: 'Whole' }])
  })

  it('A failure of the model ends the run with its typed error, and a call that was seen is not made again', async () => {
    const cases: [ScriptedCall, string, string][] = [
      [() => throwing(new ModelThrottledError('secret')), 'PROVIDER_ERROR', 'rate_limit'],
      [() => throwing(Object.assign(new Error('secret'), { status: 401 })), 'PROVIDER_REFUSED', 'credentials'],
      [
        () => throwing(Object.assign(new Error('x'), { $metadata: { httpStatusCode: 503 } })),
        'PROVIDER_ERROR',
        'server_error',
      ],
      [[...begin, ...end('endTurn')], 'PROVIDER_ERROR', 'empty'],
      [[...begin, ...end('maxTokens')], 'PROVIDER_REFUSED', 'max_tokens'],
    ]
    for (const [call, code, kind] of cases) {
      const agent = strands(agentOf([call], { retryStrategy: null }))
      const failed = openSession().send('Hi', { agent })
      await failed.message.catch(() => {})
      expect(failed.error).toMatchObject({ code, data: { kind } })
      expect(failed.error?.message).not.toContain('secret')
    }
    const model = new ScriptedModel([
      () => throwing(new ModelThrottledError('later'), [...begin, ...textBlock('Half')]),
      saying('Twice'),
    ])
    const run = openSession().send('Hi', {
      agent: strands(
        new Agent({
          model,
          printer: false,
          retryStrategy: new DefaultModelRetryStrategy({ backoff: new ConstantBackoff({ delayMs: 1 }) }),
        }),
      ),
    })
    await run.message.catch(() => {})
    expect([run.status, run.error?.code, model.calls.length]).toEqual(['failed', 'PROVIDER_ERROR', 1])
  })

  it('An answer that was cut by its limit of tokens is kept as the answer', async () => {
    const message = await ask(strands(agentOf([[...begin, ...textBlock('As far as'), ...end('maxTokens')]])))
    expect([message.status, message.metrics?.stopReason, message.content]).toEqual([
      'completed',
      'max_tokens',
      [{ type: 'text', text: 'As far as' }],
    ])
  })

  it('A guardrail that blocks makes a refused answer, says why without the words, and later prompts leave the turn out', async () => {
    const session = openSession()
    const seen: unknown[] = []
    const model = new ScriptedModel([
      [
        ...begin,
        ...textBlock('The secret plan'),
        ...end('guardrailIntervened', blockedTrace),
        { type: 'modelRedactionEvent', inputRedaction: { replaceContent: '[in]' } },
        { type: 'modelRedactionEvent', outputRedaction: { replaceContent: '[out]' } },
      ],
      saying('Fine'),
    ])
    const agent = strands(() => new Agent({ model, printer: false }), {
      onIntervention: (intervention) => void seen.push(intervention),
    })
    const message = await ask(agent, 'Tell me the plan', session)
    expect([message.status, message.content]).toEqual(['refused', [{ type: 'text', text: '[out]' }]])
    const reasons = ['input content VIOLENCE HIGH BLOCKED by gr-1', 'output sensitive EMAIL ANONYMIZED by gr-1']
    expect(message.data).toMatchObject([{ name: 'guardrail', data: { action: 'blocked', reasons } }])
    expect(seen).toEqual([{ action: 'blocked', reasons }])
    await ask(agent, 'Something else', session)
    expect(model.calls.at(-1)).toHaveLength(1)
  })

  it('A hook that answers in place of the model is heard, and an interrupt is a typed error', async () => {
    const denying = agentOf([saying('never')])
    denying.addHook(BeforeInvocationEvent, (event) => void (event.cancel = 'Not today'))
    expect((await ask(strands(denying))).content).toEqual([{ type: 'text', text: 'Not today' }])
    const asking = tool({
      name: 'look_up',
      description: 'Asks a person',
      inputSchema: z.object({ city: z.string() }),
      callback: (_input, context) => String(context?.interrupt({ name: 'sure' })),
    })
    const model = [calling({ name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' })]
    const run = openSession().send('Hi', { agent: strands(agentOf(model, { tools: [asking] })) })
    await run.message.catch(() => {})
    expect(run.error).toMatchObject({ code: 'PROVIDER_REFUSED', data: { kind: 'interrupt' } })
  })

  it("Structured output is the run's checked output, and tools find who asks", async () => {
    const scopes: unknown[] = []
    const looking = lookUp((_input, context) => {
      scopes.push(runOf(context).principal)
      return 'Sunny'
    })
    const agent = strands(
      () =>
        agentOf(
          [
            calling({ name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' }),
            calling({ name: 'strands_structured_output', id: 'toolu_2', input: '{"sky":"blue"}' }),
          ],
          { tools: [looking] },
        ),
      { output: z.object({ sky: z.string() }) },
    )
    const message = await ask(agent)
    expect([message.status, message.output]).toEqual(['completed', { sky: 'blue' }])
    expect(scopes).toEqual([{ userId: 'ada', tenantId: 'default' }])
  })

  it('An agent with a session manager of its own and a malformed id are refused at start', () => {
    const stored = agentOf([], { sessionManager: new SessionManager({ storage: {} as never }) })
    expect(() => strands(stored)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIGURATION' }))
    expect(() => strands(agentOf([]), { id: 'a/b' })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIGURATION' }),
    )
  })
})

async function* throwing(error: Error, before: readonly ModelStreamEvent[] = []): AsyncGenerator<ModelStreamEvent> {
  yield* before
  throw error
}

/** As Amazon Bedrock sends it: maps by the guardrail's id, a list of assessments for the output. */
const blockedTrace = {
  guardrail: {
    modelOutput: ['The secret plan'],
    inputAssessment: {
      'gr-1': {
        contentPolicy: { filters: [{ type: 'VIOLENCE', confidence: 'HIGH', action: 'BLOCKED', detected: true }] },
      },
    },
    outputAssessments: {
      'gr-1': [
        {
          sensitiveInformationPolicy: {
            piiEntities: [{ match: 'ada@example.org', type: 'EMAIL', action: 'ANONYMIZED', detected: true }],
          },
        },
      ],
    },
  },
}
