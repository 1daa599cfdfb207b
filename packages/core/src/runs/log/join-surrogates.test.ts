import { expect, it } from 'vitest'
import type { AgentEvent, ContentDelta } from '../../contract/event.ts'
import { joinSurrogates } from './join-surrogates.ts'

async function* deltas(of: (text: string) => ContentDelta, texts: readonly string[]): AsyncGenerator<AgentEvent> {
  for (const text of texts) yield { type: 'content_block_delta', index: 0, delta: of(text) }
  yield { type: 'content_block_stop', index: 0 }
}

async function joined(of: (text: string) => ContentDelta, texts: readonly string[]): Promise<ContentDelta[]> {
  const seen: ContentDelta[] = []
  for await (const event of joinSurrogates(deltas(of, texts))) {
    if (event.type === 'content_block_delta') seen.push(event.delta)
  }
  return seen
}

const kinds: [string, (text: string) => ContentDelta][] = [
  ['text', (text) => ({ type: 'text_delta', text })],
  ['thinking', (thinking) => ({ type: 'thinking_delta', thinking })],
  ['tool input', (partial_json) => ({ type: 'input_json_delta', partial_json })],
]

it.each(kinds)('a character that is cut between two deltas of %s is joined', async (_name, of) => {
  const whole = 'a\u{1F600}b\u{1F680}'
  const cut = Array.from({ length: whole.length }, (_, at) => whole[at] ?? '')
  const seen = await joined(of, cut)
  expect(seen).toEqual(['a', '\u{1F600}', 'b', '\u{1F680}'].map(of))
})

it.each(kinds)('half a character that stays alone in %s is replaced', async (_name, of) => {
  const seen = await joined(of, ['a\ud83d', 'b', '\ude00c', 'd\ud83d'])
  expect(seen).toEqual(['a', '\ufffdb', '\ufffdc', 'd', '\ufffd'].map(of))
})
