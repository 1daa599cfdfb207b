/** Takes the marks from a long quote, in which every line has its own: what is left is cut as an answer is. */
import { createLineReader } from './read-lines.ts'

export interface QuoteLayout {
  readonly type: 'quote'
  /** What is quoted, as markdown. */
  readonly quoted: string
}

/** A tab after the mark is as wide as the place where it stands, and is left to the parser. */
const mark = /^ {0,3}>(?!\t) ?/
/** The notes of a quote stand below the whole answer. */
const footnote = /^[\s>]*\[\^/

interface Reading {
  readonly quoted: string
  /** True after a blank line. */
  readonly hasEnded: boolean
}

/** Of a text that grows. Undefined when it may be anything but one quote. */
export function createQuoteSplitter(): (source: string) => QuoteLayout | undefined {
  const read = createLineReader<Reading | undefined>({ quoted: '', hasEnded: false }, readLine)
  return (source) => {
    const reading = read(source)
    return reading === undefined ? undefined : { type: 'quote', quoted: reading.quoted }
  }
}

function readLine(reading: Reading | undefined, line: string): Reading | undefined {
  if (reading === undefined) return undefined
  if (line.trim() === '') return { ...reading, hasEnded: true }
  if (reading.hasEnded || !mark.test(line) || footnote.test(line)) return undefined
  return { quoted: reading.quoted + line.replace(mark, ''), hasEnded: false }
}
