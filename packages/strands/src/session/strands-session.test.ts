/** Sessions of the Strands SDK on a real MongoDB, with the real SDK and a scripted model. */
import { Agent, Graph, SlidingWindowConversationManager, Swarm, tool } from '@strands-agents/sdk'
import type { ModelStreamEvent } from '@strands-agents/sdk'
import { ownerOf, Principal, textOf, unknownOutcome } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { SessionManager } from '@verbatim/core/server'
import { createGate, openTestEngine } from '@verbatim/core/testing'
import type { TestEngine } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { z } from 'zod'
import { begin, calling, end, saying, ScriptedModel, textBlock } from '../testing/scripted-model.ts'
import type { ScriptedCall } from '../testing/scripted-model.ts'
import { StrandsSession } from './strands-session.ts'

const owner = ownerOf(Principal.parse({ userId: 'ada' }))
let opened: TestEngine

beforeAll(async () => void (opened = await openTestEngine({ uri: inject('mongoUri'), agents: [] })))
afterAll(async () => await opened[Symbol.asyncDispose]())

function openSession(sessionId: string = crypto.randomUUID()): SessionManager {
  return new SessionManager({ engine: opened.engine, owner, sessionId, release: () => Promise.resolve() })
}

type AgentConfig = NonNullable<ConstructorParameters<typeof Agent>[0]>

/** As another process would make it: nothing is shared with an earlier agent but the session's id. */
function openAgent(session: SessionManager, script: readonly ScriptedCall[], more: AgentConfig = {}): Agent {
  const sessionManager = new StrandsSession(openSession(session.sessionId))
  return new Agent({ id: 'helper', model: new ScriptedModel(script), printer: false, sessionManager, ...more })
}

async function all(session: SessionManager): Promise<Message[]> {
  const messages: Message[] = []
  let cursor: string | null = null
  do {
    const page = await session.listMessages({ order: 'oldest', cursor })
    messages.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return messages
}

const texts = (messages: readonly Message[]) => messages.map(({ content }) => textOf(content))
const call = { name: 'look_up', id: 'toolu_1', input: '{"city":"Bern"}' }

function lookUp(callback: () => string | Promise<string>) {
  const inputSchema = z.object({ city: z.string() })
  return tool({ name: 'look_up', description: 'Looks something up', inputSchema, callback })
}

describe('a session of the Strands SDK', () => {
  it('200 turns are 400 stored messages while the agent holds its window, and its state does not grow', async () => {
    const session = openSession('User-123.a@b~c')
    const agent = openAgent(session, [saying('Yes')], {
      conversationManager: new SlidingWindowConversationManager({ windowSize: 6 }),
    })
    const stateBytes = async () => JSON.stringify(await session.readState('strands/agent/helper')).length
    let early = 0
    for (let turn = 1; turn <= 200; turn++) {
      await agent.invoke(`Question ${turn}`)
      if (turn === 100) early = await stateBytes()
    }
    expect(agent.messages.length).toBeLessThanOrEqual(6)
    const stored = await all(session)
    expect(stored).toHaveLength(400)
    expect(
      texts(stored)
        .filter((text) => text.startsWith('Question'))
        .at(-1),
    ).toBe('Question 200')
    // Places only, and no words: the same numbers of three digits.
    expect(await stateBytes()).toBe(early)
    expect(early).toBeLessThan(1_000)
    const again = openAgent(session, [saying('Still here')])
    await again.initialize()
    expect(again.messages.map(({ trackingId }) => trackingId)).toEqual(
      agent.messages.map(({ trackingId }) => trackingId),
    )
    expect(again.messages.at(-1)?.metadata).toMatchObject({ usage: { inputTokens: 7, totalTokens: 10 } })
    expect(again.sessionId).toBe(session.sessionId)
  })

  it('A new agent goes on with the state and the window of the last one, and its own system prompt', async () => {
    const session = openSession()
    const first = openAgent(session, [saying('Hello')], { systemPrompt: 'Old', appState: { visits: 1 } })
    await first.invoke('Hi')
    first.appState.set('visits', 2)
    await first.invoke('Hi again')
    const model = new ScriptedModel([saying('Welcome back')])
    const second = openAgent(session, [], { systemPrompt: 'New', model })
    await second.invoke('Third')
    expect(model.calls[0]?.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user'])
    expect([second.appState.get('visits'), second.systemPrompt]).toEqual([2, 'New'])
    expect(texts(await all(session))).toEqual(['Hi', 'Hello', 'Hi again', 'Hello', 'Third', 'Welcome back'])
  })

  it('As a plugin it keeps the messages too, those before the first invocation included', async () => {
    const session = openSession()
    const agent = new Agent({
      model: new ScriptedModel([saying('Four')]),
      printer: false,
      messages: [
        { role: 'user', content: [{ text: 'One' }] },
        { role: 'assistant', content: [{ text: 'Two' }] },
      ],
      plugins: [new StrandsSession(session)],
    })
    await agent.invoke('Three')
    expect(texts(await all(session))).toEqual(['One', 'Two', 'Three', 'Four'])
  })

  it('A second writer that has not seen the newest message is refused before it stores anything', async () => {
    const session = openSession()
    await openAgent(session, [saying('Zero')]).invoke('Start')
    const [one, two] = [openAgent(session, [saying('One')]), openAgent(session, [saying('Two')])]
    await Promise.all([one.initialize(), two.initialize()])
    await one.invoke('First')
    await expect(two.invoke('Second')).rejects.toMatchObject({ code: 'HEAD_MOVED' })
    await expect(two.invoke('Second')).rejects.toMatchObject({ code: 'HEAD_MOVED' })
    expect(texts(await all(session))).toEqual(['Start', 'Zero', 'First', 'One'])
    await openAgent(session, [saying('Three')]).invoke('Third')
    expect(texts(await all(session)).slice(-2)).toEqual(['Third', 'Three'])
  })

  it('A cancelled call keeps what was streamed, in the session and in the agent', async () => {
    const session = openSession()
    const gate = createGate()
    const agent = openAgent(session, [
      async function* (_messages, { cancelSignal }) {
        yield* [...begin, ...textBlock('Half of it')]
        await gate.pass(cancelSignal)
      },
      saying('Whole'),
    ])
    const cancelled = agent.invoke('Hi')
    await gate.reached()
    agent.cancel()
    expect((await cancelled).stopReason).toBe('cancelled')
    expect(await all(session)).toMatchObject([
      { role: 'user' },
      { role: 'assistant', status: 'cancelled', content: [{ type: 'text', text: 'Half of it' }] },
    ])
    await agent.invoke('And now?')
    const again = openAgent(session, [])
    await again.initialize()
    expect(JSON.stringify(again.messages[1]?.content)).toContain('Half of it')
    expect(again.messages).toHaveLength(4)
  })

  it('A tool that throws is counted and answered; a failed call keeps its words in the transcript alone', async () => {
    const session = openSession()
    const failing = lookUp(() => {
      throw new Error('The lake is closed')
    })
    const agent = openAgent(session, [calling(call), saying('I could not look.'), () => broken('Half')], {
      tools: [failing],
    })
    await agent.invoke('Weather?')
    const stored = await all(session)
    expect(stored.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(stored[2]?.content).toMatchObject([{ type: 'tool_result', tool_use_id: 'toolu_1', is_error: true }])
    expect(stored[3]?.metrics).toMatchObject({
      inputTokens: 7,
      totalTokens: 10,
      latencyMs: 12,
      model: 'scripted-strands',
      stopReason: 'end_turn',
      tools: [{ name: 'look_up', calls: 1, successes: 0, errors: 1 }],
    })
    await expect(agent.invoke('Again')).rejects.toThrow('broken')
    expect((await all(session)).slice(-1)).toMatchObject([{ status: 'failed', content: [{ text: 'Half' }] }])
    expect(agent.messages.at(-1)?.role).toBe('user')
  })

  it('A call of a tool is stored before the tool runs: when the process is lost with it, the next agent hears so', async () => {
    const session = openSession()
    const gate = createGate()
    let inStore: Message[] = []
    const hanging = lookUp(async () => {
      inStore = await all(session)
      await gate.pass()
      return 'too late'
    })
    const lost = openAgent(session, [calling(call)], { tools: [hanging] })
    lost.invoke('Weather?').catch(() => {})
    await gate.reached()
    expect(inStore.at(-1)?.content).toMatchObject([{ type: 'text' }, { type: 'tool_use', id: 'toolu_1' }])
    const model = new ScriptedModel([saying('I do not know whether it ran.')])
    await openAgent(session, [], { model, tools: [hanging] }).invoke('And?')
    const [, , result] = model.calls[0] ?? []
    expect(JSON.stringify(result?.content)).toContain(unknownOutcome)
    expect((await all(session)).map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'user', 'assistant'])
    gate.open()
  })

  it('What a guardrail blocks goes from the stored prompt in place, with the findings of its trace in the audit', async () => {
    const session = openSession()
    const blocked: ModelStreamEvent[] = [
      ...begin,
      ...textBlock('Sorry'),
      ...end('guardrailIntervened', trace),
      { type: 'modelRedactionEvent', inputRedaction: { replaceContent: '[User input redacted.]' } },
    ]
    const agent = openAgent(session, [blocked, saying('Fine')])
    await agent.invoke('My address is Zaunkoenigweg 1')
    const stored = await all(session)
    expect(texts(stored)).toEqual(['[User input redacted.]', 'Sorry'])
    const { items } = await opened.engine.audit.list({ tenantId: owner.tenantId, limit: 100 })
    const rows = items.filter(({ target }) => target === `message:${stored[0]?.id}`)
    expect(rows).toMatchObject([
      { action: 'message_redacted', reasons: ['guardrail blocked', 'input sensitive ADDRESS BLOCKED by gr-1'] },
    ])
    expect(JSON.stringify(items)).not.toContain('Zaunkoenigweg')
    await agent.invoke('Next')
    expect(JSON.stringify((await all(session)).map(({ content }) => content))).not.toContain('Zaunkoenigweg')
  })

  it('A Graph goes on in another process after its last whole node, and the lost process stores nothing any more', async () => {
    const session = openSession()
    const gate = createGate()
    const ran: string[] = []
    const node = (id: string, hangs = false) =>
      member(id, async function* () {
        ran.push(id)
        if (hangs) await gate.pass()
        yield* saying(`${id} is done`)
      })
    const graphOf = (hangs: boolean) =>
      new Graph({
        id: 'plan',
        nodes: [node('a'), node('b', hangs)],
        edges: [['a', 'b']],
        maxSteps: 10,
        sessionManager: new StrandsSession(openSession(session.sessionId)),
      })
    const lost = graphOf(true)
      .invoke('Go')
      .catch((error: unknown) => error)
    await gate.reached()
    const resumed = await graphOf(false).invoke('Go')
    expect([resumed.status, JSON.stringify(resumed.content)]).toEqual([
      'COMPLETED',
      expect.stringContaining('b is done'),
    ])
    expect(ran).toEqual(['a', 'b', 'b'])
    const before = await session.readState('strands/multiAgent/plan')
    gate.open()
    expect(await lost).toMatchObject({ code: 'STATE_MOVED' })
    expect(await session.readState('strands/multiAgent/plan')).toEqual(before)
  })

  it('A Swarm goes on in another process with the agent that has the task', async () => {
    const session = openSession()
    const gate = createGate()
    const ran: string[] = []
    const decides = (id: string, input: object, hangs = false) =>
      member(id, async function* () {
        ran.push(id)
        if (hangs) await gate.pass()
        yield* calling({ name: 'strands_structured_output', id: `toolu_${id}`, input: JSON.stringify(input) })
      })
    const swarmOf = (hangs: boolean) =>
      new Swarm({
        id: 'team',
        nodes: [decides('a', { agentId: 'b', message: 'Please go on' }), decides('b', { message: 'Done' }, hangs)],
        start: 'a',
        maxSteps: 10,
        sessionManager: new StrandsSession(openSession(session.sessionId)),
      })
    const lost = swarmOf(true)
      .invoke('Go')
      .catch((error: unknown) => error)
    await gate.reached()
    expect((await swarmOf(false).invoke('Go')).status).toBe('COMPLETED')
    expect(ran).toEqual(['a', 'b', 'b'])
    gate.open()
    expect(await lost).toMatchObject({ code: 'STATE_MOVED' })
  })

  it('An agent id that is none of ours is refused, and so is a snapshot for each point in time', async () => {
    const session = openSession()
    const sessionManager = new StrandsSession(session)
    const agent = new Agent({ id: 'a/b', model: new ScriptedModel([saying('x')]), printer: false, sessionManager })
    await expect(agent.invoke('Hi')).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    await expect(sessionManager.saveSnapshot({ target: agent, isLatest: false })).rejects.toMatchObject({
      code: 'INVALID_CONFIGURATION',
    })
    expect(await all(session)).toEqual([])
  })
})

/** A member of a Graph or a Swarm. */
function member(id: string, script: ScriptedCall): Agent {
  return new Agent({ id, description: id, printer: false, model: new ScriptedModel([script]) })
}

async function* broken(text: string): AsyncGenerator<ModelStreamEvent> {
  yield* begin
  if (text !== '') yield* textBlock(text)
  throw new Error('broken')
}

/** As Amazon Bedrock sends it. */
const trace = {
  guardrail: {
    inputAssessment: {
      'gr-1': {
        sensitiveInformationPolicy: {
          piiEntities: [{ match: 'Zaunkoenigweg 1', type: 'ADDRESS', action: 'BLOCKED', detected: true }],
        },
      },
    },
  },
}
