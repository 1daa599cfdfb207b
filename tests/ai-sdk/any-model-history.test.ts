/** What a model of the AI SDK receives of a conversation: its own thoughts as its provider signed them, and nothing of another's. */
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { aiSdk } from '@verbatim/ai-sdk/agent'
import { continuationPrompt, textOf, unknownOutcome } from '@verbatim/core'
import { claude, tool } from '@verbatim/core/claude'
import type { Agent, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import {
  callEnd,
  callStart,
  startProvider,
  streaming,
  textBlock,
  thinkingBlock,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderReply } from '@verbatim/test-kit/provider'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'
import { chat, refusing, responses, sending, startOpenAi } from '../support/open-ai.ts'
import type { OpenAi } from '../support/open-ai.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await openDatabase()
})
afterAll(async () => await database[Symbol.asyncDispose]())

const options = { ...shortLeases, recoveryMs: 30 }
const apiKey = 'k'
const responsesAt = ({ url }: OpenAi) => createOpenAI({ apiKey, baseURL: url }).responses('gpt-5')
const chatAt = ({ url }: OpenAi) => createOpenAI({ apiKey, baseURL: url }).chat('local-1')
const claudeModelAt = (url: string) => createAnthropic({ apiKey, baseURL: `${url}/v1` })('claude-sonnet-5-5')

async function ask(
  engine: Engine,
  sessionId: string,
  { agentId, message = 'Go on' }: { agentId?: string; message?: string } = {},
) {
  const runId = await startRun(engine, { sessionId, message, ...(agentId === undefined ? {} : { agentId }) })
  return answerFrom(await followAll(engine, runId))
}

const weather = tool({
  name: 'weather',
  description: 'The weather',
  input: z.object({ city: z.string() }),
  run: ({ city }) => `Rain in ${city}`,
})

/** Thinks, signed by the provider, and says so. */
const thinks: ProviderReply = (call) => {
  call.send(callStart(), ...thinkingBlock(0, 'Hm.', call.sign()), ...textBlock('Well.', 1), ...callEnd())
  call.end()
}

const thinksAndCalls: ProviderReply = (call) => {
  const events = [
    ...thinkingBlock(0, 'Hm.', call.sign()),
    ...toolBlock(1, { id: 't1', name: 'weather', json: '{"city": "Rome"}' }),
  ]
  call.send(callStart(), ...events, ...callEnd('tool_use'))
  call.end()
}

function thoughtsIn({ body }: ProviderCall): number {
  return body.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'thinking').length
}

it("Claude's signed thinking goes back through the AI SDK, in the tools' loop and in later turns", async () => {
  await using provider = await startProvider(thinksAndCalls, thinks, thinks)
  const agent = aiSdk({ id: 'a', model: claudeModelAt(provider.url), tools: [weather] })
  await using engine = openEngine(database, { agents: [agent], options })
  const sessionId = crypto.randomUUID()
  const first = await ask(engine, sessionId)
  const calls = ['thinking tool_use model_metadata tool_result', 'thinking text model_metadata']
  expect(first.content.map(({ type }) => type).join(' ')).toBe(calls.join(' '))
  await ask(engine, sessionId)
  expect(provider.complaints).toEqual([]) // it checks each signature, and what it stands after
  expect(provider.calls.map(thoughtsIn)).toEqual([0, 1, 2])
})

it('Thinking is left out once the system prompt is another, and for another model', async () => {
  await using provider = await startProvider(thinks, thinks, thinks)
  await using other = await startOpenAi(sending(...chat.text('Yes'), ...chat.end()))
  const model = claudeModelAt(provider.url)
  const agents = [
    aiSdk({ id: 'a', model, system: 'One' }),
    aiSdk({ id: 'b', model, system: 'Two' }),
    aiSdk({ id: 'c', model: chatAt(other) }),
    claude({ id: 'd', apiKey, baseURL: provider.url, maxRetries: 0 }),
  ]
  await using engine = openEngine(database, { agents, options })
  const sessionId = crypto.randomUUID()
  for (const agentId of ['a', 'b', 'c', 'd']) {
    expect(await ask(engine, sessionId, { agentId })).toMatchObject({ status: 'completed' })
  }
  expect(provider.complaints).toEqual([])
  expect(provider.calls.map(thoughtsIn)).toEqual([0, 0, 0])
  expect(JSON.stringify(other.calls[0]?.body)).not.toMatch(/Hm\.|signature/)
})

it('OpenAI receives its reasoning back by reference, or sealed where it stores nothing', async () => {
  const answer = sending(
    responses.start,
    ...responses.reasoning('Hm.'),
    ...responses.text(['Well'], { at: 1 }),
    responses.end(),
  )
  await using stored = await startOpenAi(answer, answer)
  await using sealed = await startOpenAi(answer, answer)
  const agents = [
    aiSdk({ id: 'a', model: responsesAt(stored) }),
    aiSdk({ id: 'b', model: responsesAt(sealed), providerOptions: { openai: { store: false } } }),
  ]
  await using engine = openEngine(database, { agents, options })
  const [one, two] = [crypto.randomUUID(), crypto.randomUUID()]
  for (const _turn of [1, 2]) {
    await ask(engine, one, { agentId: 'a' })
    await ask(engine, two, { agentId: 'b' })
  }
  expect(stored.calls[1]?.body.input).toMatchObject([
    { role: 'user' },
    { type: 'item_reference', id: 'rs_1' },
    { type: 'item_reference', id: 'msg_1' },
    { role: 'user' },
  ])
  expect(sealed.calls[1]?.body.input).toMatchObject([
    { role: 'user' },
    { type: 'reasoning', id: 'rs_1', encrypted_content: 'sealed', summary: [{ text: 'Hm.' }] },
    { role: 'assistant' },
    { role: 'user' },
  ])
})

it('A provider that no longer has what it said is asked again with the words themselves', async () => {
  await using served = await startOpenAi(
    sending(responses.start, ...responses.reasoning('Hm.'), ...responses.text(['Well'], { at: 1 }), responses.end()),
    refusing(404, { message: "Item with id 'rs_1' not found." }),
    sending(responses.start, ...responses.text(['Here']), responses.end()),
  )
  await using engine = openEngine(database, { agents: [aiSdk({ id: 'a', model: responsesAt(served) })], options })
  const sessionId = crypto.randomUUID()
  await ask(engine, sessionId)
  expect(textOf((await ask(engine, sessionId)).content)).toBe('Here')
  expect(served.calls[2]?.body.input).toMatchObject([
    { role: 'user' },
    { role: 'assistant', content: 'Well' },
    { role: 'user' },
  ])
})

it('Calls of tools whose ids are empty or used twice all run, and go back under ids of their own', async () => {
  const again = sending(...chat.call('weather', ['{"city":"Bern"}'], { id: 'call_1' }), ...chat.end('tool_calls'))
  await using served = await startOpenAi(
    sending(
      ...chat.call('weather', ['{"city":"Oslo"}'], { id: 'call_1', at: 0 }),
      ...chat.call('weather', ['{"city":"Rome"}'], { id: 'call_1', at: 1 }),
      ...chat.call('weather', ['{"city":"Lima"}'], { id: '', at: 2 }),
      ...chat.end('tool_calls'),
    ),
    again,
    sending(...chat.text('Rain'), ...chat.end()),
  )
  await using engine = openEngine(database, {
    agents: [aiSdk({ id: 'a', model: chatAt(served), tools: [weather] })],
    options,
  })
  const { content } = await ask(engine, crypto.randomUUID())
  const results = content.filter(({ type }) => type === 'tool_result')
  expect(results).toMatchObject(['Oslo', 'Rome', 'Lima', 'Bern'].map((city) => ({ content: `Rain in ${city}` })))
  const sent = (served.calls[2]?.body.messages ?? []) as { tool_call_id?: string; tool_calls?: { id: string }[] }[]
  const called = sent.flatMap(({ tool_calls = [] }) => tool_calls.map(({ id }) => id))
  expect(new Set(called).size).toBe(4)
  expect(sent.flatMap(({ tool_call_id }) => tool_call_id ?? [])).toEqual(called)
})

it('The model and the system prompt of a run may depend on who asks, and with what', async () => {
  await using served = await startOpenAi(sending(...chat.text('Yes'), ...chat.end()))
  const agent = aiSdk({
    id: 'a',
    input: z.object({ isHard: z.boolean() }),
    model: ({ input }) => createOpenAI({ apiKey, baseURL: served.url }).chat(input.isHard ? 'large' : 'small'),
    system: ({ principal }) => `You speak with ${principal.userId}.`,
  })
  await using engine = openEngine(database, { agents: [agent], options })
  const runId = await startRun(engine, { sessionId: crypto.randomUUID(), input: { isHard: true } })
  await followAll(engine, runId)
  expect(served.calls[0]?.body).toMatchObject({ model: 'large', messages: [{ content: 'You speak with ada.' }, {}] })
})

it('An answer that pauses goes on in the same run', async () => {
  const says = (text: string, stopReason: string) => streaming(callStart(), ...textBlock(text), ...callEnd(stopReason))
  await using provider = await startProvider(says('Half. ', 'pause_turn'), says('Rest', 'end_turn'))
  const agents = [aiSdk({ id: 'a', model: claudeModelAt(provider.url) })]
  await using engine = openEngine(database, { agents, options })
  expect(textOf((await ask(engine, crypto.randomUUID())).content)).toBe('Half. Rest')
  expect(provider.complaints).toEqual([])
})

it('A long session sends no more than the newest messages', async () => {
  const says = sending(...chat.text('Yes'), ...chat.end())
  await using served = await startOpenAi(...Array.from({ length: 8 }, () => says))
  const agent = aiSdk({ id: 'a', model: chatAt(served), maxHistoryMessages: 4 })
  await using engine = openEngine(database, { agents: [agent], options })
  const sessionId = crypto.randomUUID()
  for (let turn = 1; turn <= 8; turn++) await ask(engine, sessionId, { message: `Turn ${turn}` })
  const sizes = served.calls.map(({ body }) => body.messages?.length ?? 0)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4)
  expect(JSON.stringify(served.calls.at(-1)?.body)).toContain('Turn 8')
})

it('An answer whose process was lost goes on from what was kept, and a tool whose outcome is unknown does not run again', async () => {
  const run = vi.fn<() => Promise<string>>(async () => await new Promise<string>(() => {}))
  const pay = tool({ name: 'pay', description: 'Pays', input: z.object({ euros: z.number() }), run })
  const pays = sending(...chat.text('Paying. '), ...chat.call('pay', ['{"euros":5}']), ...chat.end('tool_calls'))
  await using served = await startOpenAi(pays, pays, sending(...chat.text('I do not know'), ...chat.end()))
  const newAgent = (): Agent => aiSdk({ id: 'a', model: chatAt(served), tools: [pay], onCrash: 'continue' })
  await using lost = openCrashableEngine(database, { agents: [newAgent()], options })
  const runId = await startRun(lost.engine, { sessionId: crypto.randomUUID(), message: 'Pay' })
  await vi.waitFor(() => expect(run).toHaveBeenCalled(), waitOptions)
  await lost.crash()
  await using taker = openEngine(database, { agents: [newAgent()], options })
  const first = answerFrom(await followAll(taker, runId))
  const rest = answerFrom(await followAll(taker, first.continuedBy ?? ''))
  expect([first.status, rest.status, textOf(rest.content)]).toEqual([
    'interrupted',
    'completed',
    'Paying. I do not know',
  ])
  expect(run).toHaveBeenCalledTimes(1)
  expect(served.calls[1]?.body.messages).toMatchObject([
    { role: 'user' },
    { role: 'assistant', content: 'Paying. ', tool_calls: [{ id: 'call_1' }] },
    { role: 'tool', content: expect.stringContaining(unknownOutcome) },
    { role: 'user', content: continuationPrompt },
  ])
})
