import { expect, it } from 'vitest'
import type { AgentEvent, ContentDelta } from '../../contract/event.ts'
import { createSurrogateJoin } from './join-surrogates.ts'

function deltas(of: (text: string) => ContentDelta, texts: readonly string[]): AgentEvent[] {
  const events = texts.map((text): AgentEvent => ({ type: 'content_block_delta', index: 0, delta: of(text) }))
  return [...events, { type: 'content_block_stop', index: 0 }]
}

function joinAll(events: readonly AgentEvent[]): AgentEvent[] {
  const { join, rest } = createSurrogateJoin()
  return [...events.flatMap(join), ...rest()]
}

function joined(of: (text: string) => ContentDelta, texts: readonly string[]): ContentDelta[] {
  return joinAll(deltas(of, texts)).flatMap((event) => (event.type === 'content_block_delta' ? [event.delta] : []))
}

const kinds: [string, (text: string) => ContentDelta][] = [
  ['text', (text) => ({ type: 'text_delta', text })],
  ['thinking', (thinking) => ({ type: 'thinking_delta', thinking })],
  ['tool input', (partial_json) => ({ type: 'input_json_delta', partial_json })],
]

it.each(kinds)('a character that is cut between two deltas of %s is joined', (_name, of) => {
  const whole = 'a\u{1F600}b\u{1F680}'
  const cut = Array.from({ length: whole.length }, (_, at) => whole[at] ?? '')
  const seen = joined(of, cut)
  expect(seen).toEqual(['a', '\u{1F600}', 'b', '\u{1F680}'].map(of))
})

it.each(kinds)('half a character that stays alone in %s is replaced', (_name, of) => {
  const seen = joined(of, ['a\ud83d', 'b', '\ude00c', 'd\ud83d'])
  expect(seen).toEqual(['a', '\ufffdb', '\ufffdc', 'd', '\ufffd'].map(of))
})

function textsByBlock(events: readonly AgentEvent[]): string[] {
  const texts: string[] = []
  for (const event of joinAll(events)) {
    if (event.type !== 'content_block_delta' || event.delta.type !== 'text_delta') continue
    texts[event.index] = (texts[event.index] ?? '') + event.delta.text
  }
  return texts
}

function textDelta(index: number, text: string): AgentEvent {
  return { type: 'content_block_delta', index, delta: { type: 'text_delta', text } }
}

it('blocks that alternate keep each their own characters, however these are cut', () => {
  const whole = ['a\u{1F600}b\u{1F680}', '\u{1F680}\u{1F600}cd', 'e\u{20000}f\u{1F600}']
  const length = Math.max(...whole.map((text) => text.length))
  const events = Array.from({ length }, (_, at) => whole.map((text, index) => textDelta(index, text[at] ?? ''))).flat()
  expect(textsByBlock(events)).toEqual(whole)
})

it('the end of one block leaves the half character of another block held', () => {
  const events: AgentEvent[] = [
    textDelta(0, 'a\ud83d'),
    textDelta(1, 'b\ud83d'),
    { type: 'content_block_stop', index: 1 },
    textDelta(0, '\ude00'),
  ]
  expect(textsByBlock(events)).toEqual(['a\u{1F600}', 'b\ufffd'])
})

it('a thousand blocks that each leave half a character hold no more than a few of them', () => {
  const halves = Array.from({ length: 1_000 }, (_, index) => textDelta(index, 'a\ud83d'))
  const late = Array.from({ length: 1_000 }, (_, index) => textDelta(index, '\ude00'))
  const texts = textsByBlock([...halves, ...late])
  const joinedTexts = texts.filter((text) => text === 'a\u{1F600}')
  expect(joinedTexts).toHaveLength(64)
  expect(texts.filter((text) => text === 'a\ufffd\ufffd')).toHaveLength(936)
})
