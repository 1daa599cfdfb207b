import { renderToStaticMarkup } from 'react-dom/server'
import { describe, expect, test } from 'vitest'
import { MarkdownView } from './markdown-view.tsx'

function html(source: string): string {
  return renderToStaticMarkup(<MarkdownView source={source} isGrowing={false} />).replace(
    /^<div class="markdown" dir="auto"><div class="stretch" data-whole="false">(.*)<\/div><\/div>$/s,
    '$1',
  )
}

/** Addresses and texts of the links. */
function links(source: string): string[] {
  return [...html(source).matchAll(/<a href="([^"]*)"[^>]*>(.*?)<\/a>/g)].map(([, href, text]) => `${href} ${text}`)
}

describe('Markdown as Chinese, Japanese and Korean write it', () => {
  test('One tilde is a range, and two still strike out', () => {
    expect(html('100~200元，需要3~5天')).toBe('<p>100~200元，需要3~5天</p>')
    expect(html('~~旧~~新')).toBe('<p><del>旧</del>新</p>')
  })

  test.each([
    ['**これは強調（きょうちょう）。**これは違う', '<p><strong>これは強調（きょうちょう）。</strong>これは違う</p>'],
    ['请看**“重点”**这里', '<p>请看<strong>“重点”</strong>这里</p>'],
    ['이것은 **강조(强調)**입니다', '<p>이것은 <strong>강조(强調)</strong>입니다</p>'],
  ])('%s has its emphasis beside full-width marks', (source, expected) => {
    expect(html(source)).toBe(expected)
  })

  test.each([
    ['见https://example.com/a，然后', ['https://example.com/a https://example.com/a']],
    ['（https://example.com/a）', ['https://example.com/a https://example.com/a']],
    [
      'https://a.example，或https://b.example/x。完',
      ['https://a.example https://a.example', 'https://b.example/x https://b.example/x'],
    ],
    ['www.example.com。', ['http://www.example.com www.example.com']],
    ['[文字，字](https://example.com/，)', ['https://example.com/%EF%BC%8C 文字，字']],
    ['https://example.com/a,b.', ['https://example.com/a,b https://example.com/a,b']],
  ])('the links of %s end where a reader sees them end', (source, expected) => {
    expect(links(source)).toEqual(expected)
  })

  test('no word is lost where a link ends', () => {
    const source = '见https://a.example/x，或https://b.example。完'
    expect(html(source).replaceAll(/<[^>]+>/g, '')).toBe(source)
  })
})

test('A single newline is shown as it was written', () => {
  expect(html('Roses are red\nViolets are blue')).toBe('<p>Roses are red<br/>\nViolets are blue</p>')
})
