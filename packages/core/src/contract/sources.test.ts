import { describe, expect, it } from 'vitest'
import type { ContentBlock } from './content-block.ts'
import type { JsonValue } from './json-value.ts'
import { citationsOf, sourcesOf } from './sources.ts'

const page = (url: string, title = 'A page'): JsonValue => ({
  type: 'web_search_result_location',
  url,
  title,
  cited_text: 'x',
})
const text = (...citations: JsonValue[]): ContentBlock => ({ type: 'text', text: 'So.', citations })
const found = (...content: JsonValue[]): ContentBlock => ({ type: 'web_search_tool_result', tool_use_id: 'a', content })

describe('sources', () => {
  it('the sources of an answer are what it cites, each once and in order', () => {
    const content = [
      found(page('https://c.example/')),
      text(page('https://b.example/', 'B'), page('https://a.example/', 'A')),
      text(page('https://b.example/', 'B again'), { type: 'char_location', document_title: 'Essay', cited_text: 'y' }),
    ]
    expect(sourcesOf(content)).toEqual([
      { url: 'https://b.example/', title: 'B' },
      { url: 'https://a.example/', title: 'A' },
      { url: null, title: 'Essay' },
    ])
  })

  it('the sources of an answer that cites nothing are what was found', () => {
    const fetched: ContentBlock = {
      type: 'web_fetch_tool_result',
      tool_use_id: 'b',
      content: { type: 'web_fetch_result', url: 'https://d.example/x' },
    }
    expect(sourcesOf([found(page('https://c.example/', 'C')), fetched])).toEqual([
      { url: 'https://c.example/', title: 'C' },
      { url: 'https://d.example/x', title: 'https://d.example/x' },
    ])
  })

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    ' java\nscript:alert(1)',
    'not a url',
    '//x',
  ])('the address %s is no link', (url) => {
    expect(citationsOf({ type: 'text', text: '', citations: [page(url)] })).toEqual([
      { url: null, title: 'A page', citedText: 'x' },
    ])
  })

  it('what has no known shape is left out', () => {
    const error = { type: 'web_search_tool_result_error', error_code: 'max_uses_exceeded' }
    const odd: JsonValue[] = [null, 7, 'x', [], {}, { url: 7 }, { title: ' ' }, error]
    expect(
      sourcesOf([text(...odd), found(...odd), { type: 'web_search_tool_result', tool_use_id: 'a', content: error }]),
    ).toEqual([])
  })
})
