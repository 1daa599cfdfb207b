import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ContentBlock } from '../../contract/content-block.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import type { ClaudeMessage, Turn } from './claude-message.ts'
import { toClaudeMessages as toBoundMessages } from './to-claude-messages.ts'
import type { HistoryRules } from './to-claude-messages.ts'

const text = (content: string): ContentBlock => ({ type: 'text', text: content })
const use = (id: string): ContentBlock => ({ type: 'tool_use', id, name: 'echo', input: {} })
const result = (id: string, content = 'ok'): ContentBlock => ({
  type: 'tool_result',
  tool_use_id: id,
  content,
  is_error: false,
})
const thought = (signature: string): ContentBlock => ({ type: 'thinking', thinking: 'Hm.', signature })
/** A thought that is bound to these turns. */
const thoughtAfter = (...turns: Turn[]): ContentBlock => {
  const { boundTo } = toBoundMessages(turns)
  return { type: 'thinking', thinking: 'Hm.', signature: 'sig', boundTo }
}
const user = (...content: ContentBlock[]): Turn => ({ role: 'user', content })
const assistant = (...content: ContentBlock[]): Turn => ({ role: 'assistant', content })

function toClaudeMessages(turns: readonly Turn[], rules?: HistoryRules): ClaudeMessage[] {
  return toBoundMessages(turns, rules).messages
}

/** Roles and blocks in short, such as `user:text`. */
function outline(messages: readonly ClaudeMessage[]) {
  return messages.map(({ role, content }) => `${role}: ${content.map(describeBlock).join(' ')}`)
}

function describeBlock(block: ClaudeMessage['content'][number]): string {
  switch (block.type) {
    case 'text':
      return block.text
    case 'tool_use':
      return `use(${block.id})`
    case 'tool_result':
      return `result(${block.tool_use_id})`
    default:
      return block.type
  }
}

describe('a stored answer', () => {
  it('a stored answer of several model calls becomes a message for each, with the results between', () => {
    const turns = [
      user(text('Weather?')),
      assistant(
        thoughtAfter(user(text('Weather?'))),
        text('I look.'),
        use('a'),
        use('b'),
        result('a'),
        result('b'),
        text('Sun.'),
      ),
      user(text('Thanks')),
    ]
    expect(outline(toClaudeMessages(turns))).toEqual([
      'user: Weather?',
      'assistant: thinking I look. use(a) use(b)',
      'user: result(a) result(b)',
      'assistant: Sun.',
      'user: Thanks',
    ])
  })

  it('a stored answer that stopped after its tools gives their results before the next prompt', () => {
    const turns = [user(text('Go')), assistant(use('a'), result('a')), user(text('And?'))]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: Go', 'assistant: use(a)', 'user: result(a) And?'])
  })

  it('a stored answer that was cut loses unsigned thinking and tool calls without a result', () => {
    const turns = [
      user(text('Go')),
      assistant(text('Well'), use('a'), use('b'), result('b'), thought('')),
      user(text('And?')),
    ]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: Go', 'assistant: Well use(b)', 'user: result(b) And?'])
  })

  it('a stored answer never ends in thinking and is left out when it has nothing else', () => {
    const turns = [user(text('Go')), assistant(thought('sig'), use('a')), user(text('And?'))]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: Go And?'])
  })

  it('a stored answer loses its thinking when it is joined with another one', () => {
    const turns = [user(text('Go')), assistant(text('One')), assistant(thought('sig'), text('Two')), user(text('And?'))]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: Go', 'assistant: One Two', 'user: And?'])
  })

  it('a stored answer at the end is left out, because it would be a prefill', () => {
    expect(outline(toClaudeMessages([user(text('Go')), assistant(text('Half'))]))).toEqual(['user: Go'])
  })
})

describe('a window of the history', () => {
  it('a window of the history begins with a user message and has no results without their calls', () => {
    const turns = [assistant(text('Old'), use('a'), result('a'), text('Older')), user(text('New'))]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: New'])
  })

  it('a window of the history has no empty text, no empty message and one message a turn', () => {
    const turns = [
      user(text('Go')),
      assistant(text(' \n')),
      user(text('')),
      user(text('on')),
      assistant(),
      user(text('!')),
    ]
    expect(outline(toClaudeMessages(turns))).toEqual(['user: Go on !'])
  })

  it('a window of the history answers a tool call once, by the first result, and tells a second call of the same id apart', () => {
    const turns = [
      user(text('Go')),
      assistant(use('a'), result('a', 'first'), result('a', 'second'), text('then'), use('a'), result('a')),
      user(text('And?')),
    ]
    const messages = toClaudeMessages(turns)
    expect(outline(messages)).toEqual([
      'user: Go',
      'assistant: use(a)',
      'user: result(a)',
      'assistant: then use(a_2)',
      'user: result(a_2) And?',
    ])
    expect(messages[2]?.content[0]).toMatchObject({ content: 'first' })
  })

  it('a window of the history can be made without tools and without thinking', () => {
    const turns = [
      user(text('Go')),
      assistant(thought('sig'), text('I'), use('a'), result('a'), text('did')),
      user(text('?')),
    ]
    expect(outline(toClaudeMessages(turns, { keepsTools: false, keepsThinking: false }))).toEqual([
      'user: Go',
      'assistant: I did',
      'user: ?',
    ])
  })

  it('a window of the history turns what a model wrote wrongly into what the API accepts', () => {
    const listInput: ContentBlock = { type: 'tool_use', id: 'a', name: 'echo', input: [1] }
    const mute: ContentBlock = { type: 'tool_result', tool_use_id: 'a', content: '', is_error: true }
    const messages = toClaudeMessages([user(text('Go')), assistant(listInput, mute), user(text('?'))])
    expect(messages[1]?.content[0]).toMatchObject({ input: { input: [1] } })
    expect(messages[2]?.content[0]).toMatchObject({ content: 'The tool failed' })
  })

  it('a window of the history is empty when no user said anything', () => {
    expect(toClaudeMessages([assistant(text('Hello'))])).toEqual([])
    expect(toClaudeMessages([])).toEqual([])
  })
})

const id = fc.constantFrom('a', 'b', 'c', 'not sendable!')
const anyJson = fc.jsonValue().map((value) => value as JsonValue) // fast-check calls it unknown
const someText = fc.constantFrom('', ' ', 'x', 'y')
const anyBlock: fc.Arbitrary<ContentBlock> = fc.oneof(
  fc.record({ type: fc.constant('text' as const), text: someText }),
  fc.record({ type: fc.constant('thinking' as const), thinking: someText, signature: fc.constantFrom('', 'sig') }),
  fc.record({ type: fc.constant('redacted_thinking' as const), data: someText }),
  fc.record({ type: fc.constant('tool_use' as const), id, name: fc.constant('echo'), input: anyJson }),
  fc.record({ type: fc.constant('tool_result' as const), tool_use_id: id, content: someText, is_error: fc.boolean() }),
)
const anyTurns: fc.Arbitrary<Turn[]> = fc.array(
  fc.record({
    role: fc.constantFrom('user' as const, 'assistant' as const),
    content: fc.array(anyBlock, { maxLength: 6 }),
  }),
  { maxLength: 8 },
)

/** What the Messages API refuses with a 400, as far as our blocks can break it. */
function complaintsOf(messages: readonly ClaudeMessage[]): string[] {
  const complaints: string[] = []
  const complain = (isWrong: boolean, what: string) => isWrong && complaints.push(what)
  const usedIds = new Set<string>()
  complain(messages.length > 0 && messages[0]?.role !== 'user', 'does not begin with a user message')
  complain(messages.at(-1)?.role === 'assistant', 'ends with a prefill')
  messages.forEach(({ role, content }, at) => {
    complain(messages[at + 1]?.role === role, 'does not alternate')
    complain(content.length === 0, 'empty message')
    complain(content.at(-1)?.type.endsWith('thinking') ?? false, 'ends in thinking')
    const results = content.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : []))
    const asked = (messages[at - 1]?.content ?? []).flatMap((block) => (block.type === 'tool_use' ? [block.id] : []))
    complain(results.toSorted().join() !== asked.toSorted().join(), 'results are not those of the tools asked for')
    complain(
      content.some((block, index) => block.type === 'tool_result' && index >= results.length),
      'results do not come first',
    )
    for (const block of content) {
      complain((block.type === 'tool_result') !== (role === 'user') && block.type !== 'text', 'block of the wrong role')
      complain(block.type === 'text' && block.text.trim() === '', 'empty text')
      complain(block.type === 'thinking' && block.signature === '', 'unsigned thinking')
      if (block.type !== 'tool_use') continue
      complain(usedIds.has(block.id), 'id used twice')
      complain(
        typeof block.input !== 'object' || block.input === null || Array.isArray(block.input),
        'input is no object',
      )
      usedIds.add(block.id)
    }
  })
  return complaints
}

describe('any messages at all', () => {
  it('any messages become a conversation that the API accepts', () => {
    fc.assert(
      fc.property(anyTurns, fc.boolean(), fc.boolean(), (turns, keepsTools, keepsThinking) => {
        expect(complaintsOf(toClaudeMessages(turns, { keepsTools, keepsThinking }))).toEqual([])
      }),
      { numRuns: 2_000 },
    )
  })

  it('any conversation keeps every text that a user said', () => {
    const texts = (turns: readonly Turn[]) =>
      turns.flatMap(({ role, content }) =>
        content.flatMap((block) =>
          role === 'user' && block.type === 'text' && block.text.trim() !== '' ? [block.text] : [],
        ),
      )
    fc.assert(
      fc.property(anyTurns, (turns) => {
        expect(texts(toClaudeMessages(turns) as Turn[])).toEqual(texts(turns))
      }),
    )
  })

  it('any messages stay unchanged', () => {
    fc.assert(
      fc.property(anyTurns, (turns) => {
        const before = structuredClone(turns)
        toClaudeMessages(turns)
        expect(turns).toEqual(before)
      }),
    )
  })
})
