import { renderToStaticMarkup } from 'react-dom/server'
import ReactMarkdown from 'react-markdown'
import remarkGfm from 'remark-gfm'
import { describe, expect, test } from 'vitest'
import { readDefinitions, withDefinitions } from '../definitions.ts'
import { createSplitter, splitMarkdown } from './split-markdown.ts'

const fence = '```'

const answers: Readonly<Record<string, string>> = {
  paragraphs: 'One\n\nTwo\nstill two\n\n\nThree\n',
  'headings and rules': '# One\n\ntext\n\nSetext\n===\n\n---\n\n## Two\n',
  'a loose list': '- one\n\n- two\n\n  of two\n\n- three\n\nafter\n',
  'a numbered list with code': `1. one\n\n   ${fence}js\n   let a\n\n   let b\n   ${fence}\n\n2. two\n\nafter\n\nand more\n`,
  'code on the line of its item': `- ${fence}js\n  let a\n\n  let b\n  ${fence}\n- two\n\n${fence}\nx\n\ny\n${fence}\n\nend\n`,
  'nested lists': '- one\n\n  - inner\n\n  - inner two\n\n- two\n\n1. first\n\n2) other\n\nend\n',
  'a fence': `before\n\n${fence}ts\nlet a\n\n# not a heading\n\nlet b\n${fence}\n\nafter\n`,
  'a fence in a longer fence': '````md\n```js\n\nx\n```\n\nstill code\n````\n\nafter\n\nend\n',
  'a fence of tildes': '~~~\n```\n\nx\n~~~\n\nafter\n\nend\n',
  'a fence that is never closed': `before\n\n${fence}\nlet a\n\nlet b\n`,
  'inline code of three marks': 'say ```x``` here\n\n```not a fence``` at all\n\nnext\n\nend\n',
  'indented code': 'text\n\n    let a\n\n    let b\n\nafter\n',
  'a fence in indented code': 'text\n\n    ```\n\nafter\n\nend\n\n```\na\n\nb\n```\n',
  quotes: '> one\n>\n> two\n\n> three\n\nafter\n',
  'a fence in a quote': `> ${fence}\n> a\n>\n> b\n> ${fence}\n\nafter\n\n${fence}\nc\n\nd\n${fence}\n`,
  'an open fence in a quote': `> ${fence}\n> a\n\nafter\n\n${fence}\nc\n\nd\n${fence}\n\nend\n`,
  'an open fence in a list': `- ${fence}\n  a\n\nafter\n\n${fence}\nc\n\nd\n${fence}\n\nend\n`,
  'an open fence indented in a list': `- one\n\n  ${fence}\n  a\n\nafter\n\n${fence}\nc\n\nd\n${fence}\n\nend\n`,
  'a fence that ends a list': `- one\n${fence}\na\n\nb\n${fence}\n\nend\n\nreally\n`,
  'a table': 'before\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nafter\n',
  'a definition far below': 'See [the docs][d].\n\nmore\n\n[d]: https://example.com\n',
  'definitions after one another':
    'See [one], [Two][two words] and [x].\n\n[one]: /1 "First"\n[TWO  words]: </2>\n\nmore\n',
  'a definition with its title on the next line': 'See [d].\n\n[d]: /1\n"A title"\n\nmore\n',
  'a definition with its address on the next line': 'See [d].\n\n[d]:\n/1\n\nmore\n',
  'no definition within a paragraph': 'text [d]\n[d]: /1\n\nmore\n',
  'a definition after a list': '- see [d]\n- b\n\n[d]: /1\n\n- c\n',
  'a definition in a list': '- see [d]\n\n  [d]: /1\n\n- c [d]\n\nend [d]\n',
  'a definition in a numbered list': 'See [d].\n\n1. [d]: /1\n2. two\n\nend [d]\n',
  'a definition in a quote': '> see [d]\n>\n> [d]: /1\n\nend [d]\n',
  'a definition twice': 'See [d].\n\n[d]: /1\n[d]: /2\ntext\n',
  'a definition right after a heading': '# See [d]\n[d]: /1\ntext of [d]\n',
  'a definition before code': 'See [d].\n\n[d]: /1\n    let a\n\nmore\n',
  'a definition that is none': 'See [d].\n\n[d]: /1 and more\n\n[e] is [d]\n',
  'a definition in code': `See [d].\n\n${fence}\n[d]: /1\n${fence}\n\nend [d]\n`,
  'a definition with escapes': 'See [a\\]b] and [a \\] b].\n\n[a\\]b]: /1\n\nmore\n',
  'a label over two lines': '- see [the\n  guide]\n\n> as [the\n> guide] says\n\n[the guide]: /1\n\nmore\n',
  'a definition of a picture': '![Picture][p] and ![p]\n\n[p]: /p.png\n\nmore\n',
  'a footnote': 'A claim.[^1]\n\nmore\n\n[^1]: The source.\n',
  'types with an index': `text\n\n${fence}ts\ntype A = {\n[key: string]: number\n}\n\nlet a\n${fence}\n\nend\n`,
  'HTML over blank lines': '<pre>\na\n\nb\n</pre>\n\nafter\n\n<div>\n\n*text*\n\n</div>\n',
  'a comment over blank lines': 'a\n\n<!-- b\n\nc -->\n\nd\n',
  'tabs and carriage returns': 'one\r\n\r\n-\ttwo\r\n\r\n\tof two\r\n\r\nthree\r\n',
  'a list right after a text': 'text\n- a\n\n- b\n\nafter\n',
  'a closing mark that is indented too far': `${fence}\na\n    ${fence}\n\nb\n${fence}\n\nend\n`,
  'a fence after an open fence in a quote': `> ${fence}\n  ${fence}\n\na\n\nb\n`,
  'code beside its list': `1. one\n  ${fence}js\nlet a\n\nlet b\n  ${fence}\n\nend\n\nreally\n`,
  'a text right after its heading': '# Title\ntext\n## Next\n- a\n- b\n# Last\n\n- c\n',
  'a list, a quote and code right after a text': `text\n- a\n- b\n\ntext\n> c\n\ntext\n${fence}\nd\n${fence}\nend\n`,
  'a numbered list right after a text': 'text\n1. a\n2. b\n\ntext\n2. no list\n',
  'a heading of equal signs or dashes': 'One\n===\ntext\n-\nthree\n- - -\nend\n',
  'a tag and a number sign in a text': 'text\n#tag\n#\nend\n',
  'a table right after a text': 'text\na | b\n--- | ---\n1 | 2\n- c\n',
  'a table of dashes': 'a | b\n- | -\n1 | 2\n',
  'a heading in a list': '- a\n  ## H\n  text\n## I\ntext\n',
  tasks: '- [x] done\n\n- [ ] open\n\nafter\n',
}

describe.each(Object.entries(answers))('%s', (_name, answer) => {
  test('every prefix is shown in parts as it would be shown whole', () => {
    for (let length = 1; length <= answer.length; length += 1) {
      const prefix = answer.slice(0, length)
      const { parts, definitions } = splitMarkdown(prefix)
      expect(parts.join('')).toBe(prefix)
      const known = readDefinitions(definitions)
      expect(parts.map((part) => shown(withDefinitions(part, known))).join('')).toBe(shown(prefix))
    }
  })
})

test.each(Object.entries(answers))('%s: a text that grows is cut as a whole one', (_name, answer) => {
  const split = createSplitter()
  for (let length = 1; length <= answer.length; length += 1) {
    const prefix = answer.slice(0, length)
    expect(split(prefix)).toEqual(splitMarkdown(prefix))
  }
  expect(split('Another text').parts).toEqual(['Another text'])
})

test('a long answer is cut, and what is finished stays as it is', () => {
  const answer = `# Title\n\nText\n\n${fence}\na\n\nb\n${fence}\n\n- one\n- two\n\nEnd`
  const { parts } = splitMarkdown(answer)
  expect(parts).toHaveLength(5)
  expect(splitMarkdown(`${answer} and more`).parts.slice(0, 4)).toEqual(parts.slice(0, 4))
})

/** What is shown; the white space between blocks is not. */
function shown(markdown: string): string {
  const html = renderToStaticMarkup(<ReactMarkdown remarkPlugins={[remarkGfm]}>{markdown}</ReactMarkdown>)
  return html.replaceAll(/\s*\n\s*(?=<|$)/g, '').replaceAll(/(?<=>)\s*\n\s*/g, '')
}
