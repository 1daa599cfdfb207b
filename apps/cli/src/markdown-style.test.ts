import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MarkdownStyle } from './markdown-style.ts'

const escape = String.fromCodePoint(27)
const sequences = new RegExp(`${escape}\\[(\\d+)m`, 'g')

function styled(...pieces: readonly string[]): string {
  const style = new MarkdownStyle()
  return pieces.map((piece) => style.style(piece)).join('') + style.end()
}

/** With names for the sequences, for people who read a failure. */
function named(text: string): string {
  const names: Record<string, string> = { 1: '<b>', 22: '</b>', 2: '<dim>', 36: '<code>', 39: '</code>' }
  return styled(text).replaceAll(sequences, (_all, number: string) => names[number] ?? `<${number}>`)
}

const markdownPieces = fc.array(
  fc.constantFrom(
    '# ',
    '> ',
    '```',
    '~~~',
    '`',
    '``',
    '**',
    '*',
    '\n',
    '\n\n',
    'word',
    ' ',
    '- ',
    'ts',
    '你好',
    '😀',
    '_',
  ),
  { maxLength: 30 },
)

describe('Markdown on a terminal', () => {
  test('Every character stays as it came and in its place', () => {
    fc.assert(
      fc.property(markdownPieces, (pieces) => {
        expect(styled(...pieces).replaceAll(sequences, '')).toBe(pieces.join(''))
      }),
    )
  })

  test('The cuts of a stream change nothing', () => {
    fc.assert(
      fc.property(markdownPieces, (pieces) => {
        const text = pieces.join('')
        expect(styled(...Array.from(text))).toBe(styled(text))
        expect(styled(...pieces)).toBe(styled(text))
      }),
    )
  })

  test('No style is left on after the end of a line', () => {
    fc.assert(
      fc.property(markdownPieces, (pieces) => {
        for (const line of styled(...pieces).split('\n')) {
          const codes = [...line.matchAll(sequences)].map(([, code]) => Number(code))
          const isOn = { weight: false, color: false }
          for (const code of codes) {
            if (code === 1 || code === 2) isOn.weight = true
            if (code === 22) isOn.weight = false
            if (code === 36) isOn.color = true
            if (code === 39) isOn.color = false
          }
          expect(isOn).toEqual({ weight: false, color: false })
        }
      }),
    )
  })

  test.each([
    ['# Title\ntext', '<b># Title</b>\ntext'],
    ['a **b** c', 'a <b>**b**</b> c'],
    ['run `npm start` now', 'run <code>`npm start`</code> now'],
    ['``a`b`` c', '<code>``a`b``</code> c'],
    ['> said\n', '<dim>> said</b>\n'],
    ['```ts\nconst a = `x` ** 2\n```\nend', '<dim>```ts</b>\n<code>const a = `x` ** 2</code>\n<dim>```</b>\nend'],
    ['snake_case 2*3*4 2**3**4 #no', 'snake_case 2*3*4 2**3**4 #no'],
    ['`open\nnext', '<code>`open</code>\nnext'],
    ['* item\n- **x**', '* item\n- <b>**x**</b>'],
    ['#hashtag', '#hashtag'],
  ])('%j is shown as %j', (text, shown) => {
    expect(named(text)).toBe(shown)
  })
})
