/**
 * Whatever a model says and whatever becomes of its runs: every request is one that the provider's documentation accepts, a
 * session can always go on, and a tool gets whole input, once. 20,000 conversations:
 * `VERBATIM_CONVERSATIONS=20000 pnpm vitest run tests/model/conversation.test.ts`
 */
import { isVerbatimError } from '@verbatim/core'
import type { PromptBlock } from '@verbatim/core'
import { claude, tool } from '@verbatim/core/claude'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import { startProviderOf } from '@verbatim/test-kit/provider'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { conversations } from '../support/env.ts'
import { anyMove, createModel } from './conversation-model.ts'
import type { Move } from './conversation-model.ts'
import { Session } from './conversation-session.ts'
import type { Outcome, Stop } from './conversation-session.ts'

type Action =
  | {
      readonly type: 'prompt'
      readonly agent: number
      readonly bytes: number
      readonly hasImage: boolean
      readonly stop: Stop | undefined
    }
  | { readonly type: 'retry'; readonly agent: number }
  | { readonly type: 'append'; readonly role: 'user' | 'assistant' }

const agent = fc.nat({ max: 2 })
const stop: fc.Arbitrary<Stop> = fc.record({
  after: fc.integer({ min: 1, max: 25 }),
  how: fc.constantFrom('cancel', 'crash'),
})
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('prompt' as const),
      agent,
      bytes: fc.constantFrom(10, 10, 10, 5_000, 60_000),
      hasImage: fc.boolean(),
      stop: fc.option(stop, { nil: undefined, freq: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('retry' as const), agent }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('append' as const), role: fc.constantFrom('user', 'assistant') }),
  },
)

const conversation = fc.record({
  actions: fc.array(action, { minLength: 1, maxLength: 10 }),
  moves: fc.array(anyMove, { maxLength: 25 }),
  contextTokens: fc.constantFrom(20_000, 60_000),
  tokensPerByte: fc.constantFrom(0.2, 0.4, 0.8),
  maxHistoryMessages: fc.constantFrom(3, 8, 40),
})
type Conversation = typeof conversation extends fc.Arbitrary<infer T> ? T : never

const plain: Move = {
  thinking: 'none',
  text: 'Yes.',
  server: 'none',
  tools: [],
  interleaves: false,
  stopReason: 'natural',
  fault: 'none',
  summary: 'made',
}

/** Some 50 KB, which a model reads as less. */
const image: PromptBlock = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'A'.repeat(50_000) },
}

function promptOf({ bytes, hasImage }: Extract<Action, { type: 'prompt' }>): PromptBlock[] {
  return [...(hasImage ? [image] : []), { type: 'text', text: 'p'.repeat(bytes) }]
}

async function hold({ actions, moves, contextTokens, tokensPerByte, maxHistoryMessages }: Conversation) {
  const model = createModel()
  let isFinal = false
  const replyTo = (_call: unknown, nth: number) => (call: Parameters<typeof model.reply>[0]) =>
    model.reply(call, isFinal ? plain : (moves[nth] ?? plain))
  await using provider = await startProviderOf(replyTo, { contextTokens, tokensPerByte })
  const ran: string[] = []
  const tools = ['echo', 'count'].map((name) =>
    tool({
      name,
      description: 'Says x',
      input: z.looseObject({ size: z.int().default(1) }),
      run: ({ size }, { inputJson }) => {
        ran.push(inputJson)
        return 'x'.repeat(size)
      },
    }),
  )
  const common = {
    apiKey: 'k',
    baseURL: provider.url,
    maxTokens: 1_000,
    contextTokens,
    maxHistoryMessages,
    maxCycles: 4,
  }
  const variants: ClaudeOptionsInput[] = [
    { tools, system: 'One.', serverTools: ['web_search'] },
    { tools, system: 'Two.' },
    { model: 'claude-opus-4-8' },
  ]
  const agents = variants.map((variant) => claude({ ...common, ...variant, maxRetries: 1, random: () => 0 }))
  const session = new Session()
  const one = (at: number) => agents[at] ?? claude(common)

  const outcomes: (Outcome | undefined)[] = []
  for (const step of actions) {
    if (step.type === 'append')
      session.append(step.role, [
        { type: 'thinking', thinking: '?', signature: 'foreign' },
        { type: 'text', text: 'By the way.' },
      ])
    else if (step.type === 'retry') outcomes.push(await session.retry(one(step.agent)))
    else outcomes.push(await session.prompt(one(step.agent), promptOf(step), step.stop))
  }
  for (const { error } of outcomes.flatMap((outcome) => outcome ?? [])) {
    // A refusal of the request as wrong would come again with every later prompt.
    expect(isVerbatimError(error) ? (error.data.kind ?? '') : '').not.toMatch(/invalid_request|thinking/)
  }
  isFinal = true
  for (const last of agents)
    expect(await session.prompt(last, [{ type: 'text', text: 'Still there?' }])).toMatchObject({ error: undefined })
  expect(provider.complaints.filter((complaint) => !complaint.startsWith('prompt is too long'))).toEqual([])
  const numbered = ran.filter((json) => json.includes('"n"'))
  expect(new Set(numbered).size).toBe(numbered.length)
  const whole = [...model.written.values()].flatMap(({ json, isWhole }) => (isWhole ? [json] : []))
  expect(numbered.filter((json) => !whole.includes(json))).toEqual([])
}

it(
  'every request is accepted, every session goes on, and every tool gets whole input once',
  async () => {
    await fc.assert(fc.asyncProperty(conversation, hold), { numRuns: conversations })
  },
  Math.max(60_000, conversations * 500),
)
