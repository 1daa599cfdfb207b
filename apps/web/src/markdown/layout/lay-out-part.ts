/**
 * How a part of an answer is drawn. Most are short and parsed whole. A long one is made of units that stay as they are while the
 * text grows, so that a token costs the parsing of the last unit: some items of a list or rows of a table, the pieces of a paragraph, the lines of code.
 */
import { closesFence } from './split-markdown.ts'
import { createListSplitter } from './split-list.ts'
import type { ListLayout } from './split-list.ts'
import { createTableSplitter } from './split-table.ts'
import type { TableLayout } from './split-table.ts'
import { createParagraphSplitter } from './split-paragraph.ts'
import type { ParagraphLayout } from './split-paragraph.ts'
import { createQuoteSplitter } from './split-quote.ts'
import type { QuoteLayout } from './split-quote.ts'

interface CodeLayout {
  readonly type: 'code'
  readonly language: string
  readonly code: string
}

interface MarkdownLayout {
  readonly type: 'markdown'
  readonly source: string
}

export type Layout = CodeLayout | ListLayout | TableLayout | ParagraphLayout | QuoteLayout | MarkdownLayout

/** A part of as many characters is parsed in a few milliseconds. */
const longFrom = 800

/** A formula over so many characters is shown as it was written: no page shows it whole, and to draw it takes seconds. */
export const maxFormula = 2_000

/** How the part that it is given is drawn; of one that grows it reads what is new. */
export function createLayout(): (source: string) => Layout {
  const splitters = [createListSplitter(), createTableSplitter(), createParagraphSplitter(), createQuoteSplitter()]
  return (source) => {
    const code = readFence(source, codeOpening)
    if (code !== undefined) return code
    const whole: MarkdownLayout = { type: 'markdown', source }
    if (source.length < longFrom) return whole
    const formula = source.length <= maxFormula ? undefined : readFence(source, formulaOpening)
    if (formula !== undefined) return { ...formula, language: 'tex' }
    return splitters.reduce<Layout | undefined>((layout, split) => layout ?? split(source), undefined) ?? whole
  }
}

const codeOpening = /^(`{3,}|~{3,})([^\n]*)(?:\n|$)/
const formulaOpening = /^(\${2,})() *\n/

/** A fence needs no parser. */
function readFence(source: string, opening: RegExp): CodeLayout | undefined {
  const [line, mark, info = ''] = opening.exec(source) ?? []
  if (line === undefined || mark === undefined || (mark.startsWith('`') && info.includes('`'))) return undefined
  // What needs more than reading is left to the parser.
  if (/[\\&]/.test(info)) return undefined
  const body = source.slice(line.length)
  const close = endOfCode(body, mark)
  if (close !== undefined && body.slice(close.end).trim() !== '') return undefined
  const code = close === undefined ? body : body.slice(0, close.start)
  return { type: 'code', language: info.trim().split(/\s/)[0] ?? '', code: code.replace(/\n$/, '') }
}

/** The line that closes the code; undefined while it is open. */
function endOfCode(body: string, mark: string): { start: number; end: number } | undefined {
  let at = body.indexOf(mark)
  while (at !== -1) {
    const start = body.lastIndexOf('\n', at) + 1
    const newline = body.indexOf('\n', at)
    const end = newline === -1 ? body.length : newline + 1
    if (closesFence(body.slice(start, end), mark)) return { start, end }
    at = body.indexOf(mark, end)
  }
  return undefined
}
