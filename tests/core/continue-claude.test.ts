/** A lost answer of a real `claude()` goes on: what the provider is asked then is a request that it takes. */
import { continuationPrompt, textOf, unknownOutcome } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { claude, tool } from '@verbatim/core/claude'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import type { Engine } from '@verbatim/core/server'
import {
  callEnd,
  callStart,
  serverToolBlock,
  startProvider,
  streaming,
  textBlock,
  thinkingBlock,
  toolBlock,
  wholeBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderEvent } from '@verbatim/test-kit/provider'
import { expect, it, vi } from 'vitest'
import { z } from 'zod'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

/** The n-th request gets the n-th reply; one that does not end with `message_stop` stays open, as a model that goes on would. */
async function startReplies(replies: readonly (readonly ProviderEvent[])[]) {
  const provider = await startProvider(
    ...replies.map((events) =>
      events.at(-1)?.type === 'message_stop' ? streaming(...events) : (call: ProviderCall) => call.send(...events),
    ),
  )
  return { ...provider, asked: () => provider.calls.map(({ body }) => body.messages) }
}

const begin = callStart()
const payment = (index: number, id: string, json = '{"euros":5}') => toolBlock(index, { id, name: 'pay', json })

/** All but the end of the last block. */
function cut(events: readonly ProviderEvent[]): ProviderEvent[] {
  return events.slice(0, -1)
}

const rest = [begin, ...textBlock('the rest'), ...callEnd()]

/**
 * Runs a prompt at a process that is lost once its log holds `lostBehind` events (or `lostWhen` resolves), and lets another one
 * go on. Answers what the provider was asked, and the events of both runs.
 */
async function continueAfter(
  replies: readonly (readonly ProviderEvent[])[],
  {
    lostWhen,
    lostBehind = replies[0]?.length ?? 0,
    ...agentOptions
  }: ClaudeOptionsInput & { lostWhen?: Promise<void>; lostBehind?: number } = {},
) {
  await using database = await openDatabase()
  await using provider = await startReplies(replies)
  const newAgent = () =>
    claude({ apiKey: 'k', baseURL: provider.url, maxRetries: 0, onCrash: 'continue', ...agentOptions })
  const options = { ...shortLeases, recoveryMs: 30 }
  await using lost = openCrashableEngine(database, { agents: [newAgent()], options })
  const runId = await startRun(lost.engine, { message: 'Go' })
  await (lostWhen ?? eventsCommitted(lost.engine, lostBehind))
  await lost.crash()
  await using taker = openEngine(database, { agents: [newAgent()], options })
  const events = await followBoth(taker, runId)
  expect(provider.complaints).toEqual([])
  return { asked: provider.asked(), events, answers: events.map(answerFrom), taker }
}

async function eventsCommitted(engine: Engine, count: number): Promise<void> {
  await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBe(count), waitOptions)
}

async function followBoth(engine: Engine, runId: string): Promise<RunEvent[][]> {
  const first = await followAll(engine, runId)
  const next = answerFrom(first).continuedBy
  expect(next).not.toBeNull()
  return [first, await followAll(engine, next ?? '')]
}

it('a continuation of cut text gives the model its own words and then a user message', async () => {
  const { asked, answers } = await continueAfter([cut([begin, ...textBlock('One, two, ')]), rest])
  expect(asked[1]).toMatchObject([
    { role: 'user', content: [{ type: 'text', text: 'Go' }] },
    { role: 'assistant', content: [{ type: 'text', text: 'One, two, ' }] },
    { role: 'user', content: [{ type: 'text', text: continuationPrompt }] },
  ])
  expect(answers.map(({ status, content }) => [status, textOf(content)])).toEqual([
    ['interrupted', 'One, two, '],
    ['completed', 'the rest'],
  ])
})

it('a continuation of cut thinking leaves the unsigned thinking out', async () => {
  const unsigned = [begin, ...thinkingBlock(0, 'Let me see', 'sig')].slice(0, -2)
  const { asked, answers } = await continueAfter([unsigned, rest])
  expect(asked[1]?.map(({ role }) => role)).toEqual(['user'])
  expect(answers[0]?.content).toMatchObject([{ type: 'thinking', thinking: 'Let me see', signature: '' }])
})

it('a continuation of text after whole thinking keeps the signed thinking as it was', async () => {
  const { asked } = await continueAfter([
    cut([begin, ...thinkingBlock(0, 'Let me see', 'signed'), ...textBlock('I think', 1)]),
    rest,
  ])
  expect(asked[1]?.[1]?.content).toMatchObject([
    { type: 'thinking', thinking: 'Let me see', signature: 'signed' },
    { type: 'text', text: 'I think' },
  ])
})

/** Counts what really happened in the world. */
function payTool(run: (paid: number) => Promise<string>, idempotent = false) {
  const count = { paid: 0 }
  const input = z.object({ euros: z.number() })
  const pay = tool({ name: 'pay', description: 'Pays', input, idempotent, run: async () => await run(++count.paid) })
  return { count, tools: [pay] }
}

it('a continuation of cut tool input leaves the call out, and the tool has not run', async () => {
  const { count, tools } = payTool(async () => 'paid')
  const half = cut([begin, ...textBlock('I pay. '), ...payment(1, 'toolu_1', '{"eur')])
  const { asked, answers } = await continueAfter([half, rest], { tools })
  expect(asked[1]?.[1]?.content).toMatchObject([{ type: 'text', text: 'I pay. ' }])
  expect([count.paid, answers[1]?.status]).toEqual([0, 'completed'])
})

/** A tool that never answers its first call, and then its process is lost. */
function hangingTool(idempotent = false) {
  const called = Promise.withResolvers<void>()
  const made = payTool(async (paid) => {
    called.resolve()
    return paid === 1 ? await new Promise<string>(() => {}) : 'paid again'
  }, idempotent)
  return { ...made, lostWhen: called.promise }
}

const asksToPay = [begin, ...textBlock('I pay. '), ...payment(1, 'toolu_1'), ...callEnd('tool_use')]

it('a continuation of a running tool reports an unknown outcome and does not run the tool again', async () => {
  const { count, ...given } = hangingTool()
  const { asked, answers } = await continueAfter([asksToPay, rest], given)
  expect(asked[1]).toMatchObject([
    { role: 'user' },
    { role: 'assistant', content: [{ type: 'text' }, { type: 'tool_use', id: 'toolu_1', input: { euros: 5 } }] },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'toolu_1', content: unknownOutcome, is_error: true },
        { type: 'text', text: continuationPrompt },
      ],
    },
  ])
  expect([count.paid, answers[1]?.status]).toEqual([1, 'completed'])
})

it('a continuation does not run that tool again when the model repeats the call', async () => {
  const { count, ...given } = hangingTool()
  const again = [begin, ...payment(0, 'toolu_2'), ...callEnd('tool_use')]
  const { answers } = await continueAfter([asksToPay, again, rest], given)
  expect(count.paid).toBe(1)
  expect(answers[1]?.content).toMatchObject([
    { type: 'tool_use', id: 'toolu_2' },
    { type: 'tool_result', tool_use_id: 'toolu_2', content: unknownOutcome, is_error: true },
    { type: 'text', text: 'the rest' },
  ])
})

it('a continuation runs the tool for another input, and runs an idempotent tool again', async () => {
  const other = hangingTool()
  const another = [begin, ...payment(0, 'toolu_2', '{"euros":6}'), ...callEnd('tool_use')]
  await continueAfter([asksToPay, another, rest], { tools: other.tools, lostWhen: other.lostWhen })
  const harmless = hangingTool(true)
  const again = [begin, ...payment(0, 'toolu_2'), ...callEnd('tool_use')]
  await continueAfter([asksToPay, again, rest], { tools: harmless.tools, lostWhen: harmless.lostWhen })
  expect([other.count.paid, harmless.count.paid]).toEqual([2, 2])
})

it('a continuation keeps the results of tools that had answered', async () => {
  const { count, tools } = payTool(async () => 'receipt 1')
  const half = cut([begin, ...textBlock('Done, ')])
  const { asked } = await continueAfter([asksToPay, half, rest], {
    tools,
    lostBehind: asksToPay.length + 1 + half.length,
  })
  expect(asked[2]?.map(({ role, content }) => [role, ...content.map(({ type }) => type)])).toEqual([
    ['user', 'text'],
    ['assistant', 'text', 'tool_use'],
    ['user', 'tool_result'],
    ['assistant', 'text'],
    ['user', 'text'],
  ])
  expect(count.paid).toBe(1)
})

it('the turn after a continuation may run the tool again, because a person asks for it', async () => {
  await using database = await openDatabase()
  const again = [begin, ...payment(0, 'toolu_2'), ...callEnd('tool_use')]
  await using provider = await startReplies([asksToPay, rest, again, rest])
  const { count, tools, lostWhen } = hangingTool()
  const newAgent = () => claude({ apiKey: 'k', baseURL: provider.url, onCrash: 'continue', tools })
  const options = { ...shortLeases, recoveryMs: 30 }
  await using lost = openCrashableEngine(database, { agents: [newAgent()], options })
  const runId = await startRun(lost.engine, { message: 'Pay' })
  await lostWhen
  await lost.crash()
  await using taker = openEngine(database, { agents: [newAgent()], options })
  await followBoth(taker, runId)
  const asked = await startRun(taker, { message: 'It did not arrive. Pay again' })
  expect(answerFrom(await followAll(taker, asked)).status).toBe('completed')
  expect([count.paid, provider.complaints]).toEqual([2, []])
  expect((await taker.messages.list(ada, 'session-1', { order: 'oldest', limit: 9 })).items).toHaveLength(6)
})

it.each([
  ['its call is half written', 1],
  ['its call is whole', 3],
  ['its result has come', 5],
])(
  'a continuation after a tool of the provider whose process was lost when %s is a request that the provider takes',
  async (_when, kept) => {
    const search = [
      ...serverToolBlock(1, { id: 'srvtoolu_1', name: 'web_search', input: { query: 'grey cats' } }),
      ...wholeBlock(2, { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [] } as { type: string }),
    ]
    const first = [begin, ...textBlock('Let me look.'), ...search.slice(0, kept + 1)]
    // The result is one event, its start and its stop.
    const lostBehind = kept < 5 ? first.length : first.length - 1
    const { asked, answers } = await continueAfter([first, rest], { serverTools: ['web_search'], lostBehind })
    const types = (asked[1]?.[1]?.content ?? []).map(({ type }) => type)
    expect(types).toEqual(kept < 5 ? ['text'] : ['text', 'server_tool_use', 'web_search_tool_result'])
    expect(answers.map(({ status }) => status)).toEqual(['interrupted', 'completed'])
  },
)
