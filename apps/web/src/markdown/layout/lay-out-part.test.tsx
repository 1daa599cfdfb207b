import type { ReactElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { describe, expect, test } from 'vitest'
import { linesInChunks } from '../lines.tsx'
import { createLayout } from './lay-out-part.ts'
import { MarkdownText } from '../markdown-view.tsx'
import { Parsed } from '../parsed.tsx'
import { createSplitter } from './split-markdown.ts'

const size = 80_000
const fill = (unit: (at: number) => string): string => {
  let text = ''
  for (let at = 0; text.length < size; at += 1) text += unit(at)
  return text
}

const answers: Readonly<Record<string, string>> = {
  'a list': fill((at) => `- item **${at}** with \`code\` and a [link](https://example.com/${at})\n`),
  'a loose list': fill((at) => `${at + 1}. Item ${at} of many.\n\n`),
  'a list with nested items': `Intro\n${fill((at) => `* item ${at}\n  - nested\n  - more\n`)}`,
  'a table': `| Name | Value |\n| :-- | --: |\n${fill((at) => `| cell **${at}** | ${at} \\| \`code\` |\n`)}`,
  'a list of tasks': fill((at) => `- [${at % 2 === 0 ? 'x' : ' '}] task ${at}\n`),
  'a paragraph': fill((at) => `Sentence ${at} says *something* about \`locks\` and 2 * ${at}. `),
  'a paragraph of short lines': fill((at) => `Line ${at} of **many**\n`),
  'a paragraph of Chinese': fill((at) => `这是第${at}句话，说的是**锁**的作用。`),
  'a word without an end': 'x'.repeat(size),
  code: `\`\`\`ts\n${fill((at) => `const value${at} = ${at} // a line\n`)}`,
  'a quote of one paragraph': fill((at) => `> Line ${at} of a quote with *marks*\n`),
  'a quote of all kinds': fill(
    (at) =>
      `> ## Title ${at}\n>\n> 1. one\n>    - inner\n>\n> Text of it\n>\n> > ${'Again quoted. '.repeat(200)}\n> > - ${at}\n>\n`,
  ),
}

const formula = `$$\n${fill((at) => `x_{${at}} + \\\\\n`)}`

/** The pieces of text that are parsed and drawn each by itself. */
function createUnits(): (answer: string) => string[] {
  const split = createSplitter()
  const parts: {
    readonly layOut: ReturnType<typeof createLayout>
    readonly unitsOfQuote: (quoted: string) => string[]
  }[] = []
  return (answer) =>
    split(answer).parts.flatMap((part, at) => {
      const { layOut, unitsOfQuote } = (parts[at] ??= { layOut: createLayout(), unitsOfQuote: createUnitsLater() })
      const layout = layOut(part)
      if (layout.type === 'quote') return unitsOfQuote(layout.quoted)
      if (layout.type === 'code') return linesInChunks(layout.code)
      if (layout.type === 'table') return [...layout.groups]
      if (layout.type === 'list') return layout.groups.map(({ source }) => source)
      return layout.type === 'paragraph' ? layout.pieces.map(({ source }) => source) : [layout.source]
    })
}

function createUnitsLater(): (answer: string) => string[] {
  let unitsOf: ReturnType<typeof createUnits> | undefined
  return (answer) => (unitsOf ??= createUnits())(answer)
}

describe.each(Object.entries({ ...answers, 'a formula': formula }))('%s of 80 KB', (_name, answer) => {
  test('an update draws a few thousand characters anew, however long the answer is', () => {
    const unitsOf = createUnits()
    const work: number[] = []
    let before: readonly string[] = []
    // Every second character of the end, and leaps before.
    const end = answer.length - 1_000
    for (
      let length = 40;
      length <= answer.length;
      length = length < end ? Math.min(length + 2_999, end + 1) : length + 2
    ) {
      const units = unitsOf(answer.slice(0, length))
      const anew = units.filter((unit, at) => unit !== before[at])
      if (length > end) work.push(anew.reduce((sum, unit) => sum + unit.length, 0))
      before = units
    }
    expect(work.length).toBeGreaterThan(450)
    expect(Math.max(...work)).toBeLessThan(9_000)
    expect(work.reduce((sum, one) => sum + one, 0) / work.length).toBeLessThan(4_500)
  })
})

test.each(Object.entries(answers))('%s is shown as it would be shown by the parser alone', (_name, answer) => {
  const some = answer.slice(0, 20_000)
  expect(shown(<MarkdownText source={some} isGrowing={false} />)).toBe(shown(<Parsed source={some} />))
})

const linked = (unit: (at: number) => string) => fill(unit).slice(0, 3_000).replace(/.*$/, '')
const definitions = Array.from({ length: 200 }, (_, at) => `[${at}]: https://example.com/${at} "Source ${at}"\n`).join(
  '',
)
const withSources = [
  linked((at) => `- item ${at} of [source][${at}]\n`),
  `| a | b |\n| - | - |\n${linked((at) => `| [${at}] | cell ${at} |\n`)}`,
  linked((at) => `Sentence ${at} says [${at}][] and goes on.\n`),
  linked((at) => `> Quoted ${at} from [a source][${at}]\n`),
  `## [1]\n\nText of [2] and [none].`,
].join('\n\n')

test('Links in blocks of all kinds find their addresses at the end of the answer, which stays in parts', () => {
  const answer = `${withSources}\n\n${definitions}`
  const view = <MarkdownText source={answer} isGrowing={false} />
  expect(shown(view)).toBe(shown(<Parsed source={answer} />))
  expect(renderToStaticMarkup(view).split('href="https://example.com/').length).toBeGreaterThan(150)
  expect(createSplitter()(answer).parts.length).toBeGreaterThan(200)
})

test('While an answer grows, only a definition that is whole is used', () => {
  const growing = renderToStaticMarkup(<MarkdownText source={'See [a] and [b].\n\n[a]: /1\n[b]: /23'} isGrowing />)
  expect(growing).toContain('href="/1"')
  expect(growing).not.toContain('href="/23"')
})

test('A table is drawn in the same groups of rows before and after its columns become even', () => {
  const layOut = createLayout()
  const before = layOut(answers['a table']!.slice(0, 1_900))
  const after = layOut(answers['a table']!.slice(0, 2_100))
  if (before.type !== 'table' || after.type !== 'table') throw new Error('It is no table')
  expect([before.isEven, after.isEven]).toEqual([false, true])
  expect(before.groups.length).toBeGreaterThan(2)
  expect(after.groups.slice(0, before.groups.length - 1)).toEqual(before.groups.slice(0, -1))
})

test('A formula that no page shows whole is shown as it was written', () => {
  const html = renderToStaticMarkup(<MarkdownText source={`${formula}$$\n\nEnd`} isGrowing={false} />)
  expect(html).toContain('<span>tex</span>')
  expect(html).toContain('<p>End</p>')
})

test('An answer of many parts is drawn in stretches of a few, and all but the last may be left out while they are out of sight', () => {
  const answer = fill((at) => `## Heading ${at}\n\nSome text about it.\n\n`)
  const html = renderToStaticMarkup(<MarkdownText source={answer} isGrowing />)
  const [, ...stretches] = html.split('<div class="stretch" data-whole="')
  const parts = stretches.map((stretch) => stretch.split(/<(?:h2|p)>/).length - 1)
  expect(parts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(1_000)
  expect(Math.max(...parts)).toBeLessThanOrEqual(24)
  expect(stretches.filter((stretch) => stretch.startsWith('false'))).toEqual([stretches.at(-1)])
})

/** What is shown; the white space between blocks, and at the end of code, is not. */
function shown(element: ReactElement): string {
  const inside = renderToStaticMarkup(element)
    .replaceAll(/<div class="(?:markdown|stretch)"[^>]*>/g, '')
    .replace(/<table class="long-table"[^>]*>/, '<table>')
    .replaceAll(/ role="[a-z]+"/g, '')
    .replaceAll(/<div class="long-list"[^>]*>/g, '')
    .replaceAll('</div>', '')
    .replaceAll(/<\/(ol|ul)><\1(?: start="\d+")?(?: class="contains-task-list")?>/g, '')
  return inside
    .replaceAll('</tbody><tbody>', '')
    .replaceAll(/\s*\n\s*(?=<|$)/g, '')
    .replaceAll(/(?<=>)\s*\n\s*/g, '')
}
