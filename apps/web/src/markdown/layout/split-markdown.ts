/**
 * Cuts markdown where cutting changes nothing that is shown: between top-level blocks. While an answer grows, only its last part
 * changes then, and the finished ones need not be rendered again for every token.
 * When in doubt it does not cut: a part too long costs time, a cut in the wrong place would show another text.
 */

import { plainDefinition } from '../definitions.ts'
import { createLineReader } from './read-lines.ts'

interface Fence {
  /** In a list item or a quote, a fence may also end with what it is in. */
  readonly place: 'top' | 'list' | 'quote'
  readonly mark: string
  readonly isOpen: boolean
}

/** A fence of code, or of a formula. */
const fenceLine = /^(\s*(?:(?:[-*+]|\d{1,9}[.)])\s+|>\s?)*)(`{3,}(?!.*`)|~{3,}|\${2,}(?!.*\$))(.*)/
const listItem = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/
/** Some HTML goes on over blank lines. */
const html = /^ {0,3}<[a-z/!?]/i
/** A definition is used by text anywhere. One that is no plain line makes the whole one part. */
const definition = /^(?:[\s>*+-]|\d{1,9}[.)])*\[(?:[^\]\\]|\\.)+\]:/
/** A heading is one line. */
const heading = /^#{1,6}(?:\s|$)/
/** What begins a block even right after the line of a paragraph. */
const interruption = /^(?:#{1,6}(?:\s|$)|[-*+] +\S|1[.)] +\S|>|`{3,}[^`]*$|~{3,})/
/** A line that can only be one of a paragraph, wherever it stands. */
export const plainLine =
  /^(?:[\p{L}"'“”‘’(（「《【]|\p{N}(?!\d{0,8}[.)](?:\s|$))|[*_](?![\s*_-])|\*\*(?![\s*_-])|`(?!``))/u

/** The title of a definition may stand on the line after it. */
const titleLine = /^\s*["'(]/

/** What is known of the lines read so far. */
interface Reading {
  /** The plain definitions, a line each. */
  readonly definitions: string
  /** The finished parts. */
  readonly parts: readonly string[]
  /** The part that goes on. */
  readonly part: string
  /** True when a line of the part begins an item of a list. */
  readonly hasItem: boolean
  readonly isPlain: boolean
  readonly before: LineKind
  readonly fence: Fence | undefined
  /** True when only a full parser could tell where the part ends: it goes on to the end of the text. */
  readonly isEndless: boolean
}

const nothing: Reading = {
  definitions: '',
  parts: [],
  part: '',
  hasItem: false,
  isPlain: true,
  before: 'other',
  fence: undefined,
  isEndless: false,
}

/** A text in parts; joined they are the same text again. */
export interface SplitMarkdown {
  readonly parts: readonly string[]
  /** What a part may need to be parsed by itself, see `withDefinitions`. */
  readonly definitions: string
}

export function splitMarkdown(markdown: string): SplitMarkdown {
  return createSplitter()(markdown)
}

/** As {@link splitMarkdown}, of a text that grows. */
export function createSplitter(): (markdown: string) => SplitMarkdown {
  const read = createLineReader(nothing, readLine)
  return (markdown) => {
    const { parts, part, definitions } = read(markdown)
    return { parts: part === '' ? parts : [...parts, part], definitions }
  }
}

function readLine(reading: Reading, line: string): Reading {
  const { parts, part, fence, hasItem } = reading
  if (reading.isEndless) return { ...reading, part: part + line }
  const read = fence === undefined ? readDefinition(reading, line) : undefined
  if (read !== undefined) return read
  const isBlank = line.trim() === ''
  const next = isBlank ? fence : fenceAfter(fence, line, hasItem)
  if (next === 'unclear' || (fence === undefined && html.test(line))) {
    return { ...reading, part: part + line, isEndless: true }
  }
  const isInside = fence !== undefined && (next !== undefined || fence.place === 'top')
  const isCut = !isBlank && !isInside && part !== '' && beginsBlock(line, reading)
  return {
    definitions: reading.definitions,
    parts: isCut ? [...parts, part] : parts,
    part: isCut ? line : part + line,
    hasItem: (hasItem && !isCut) || listItem.test(line),
    isPlain: (reading.isPlain || isCut) && plainLine.test(line),
    before: kindOf(line, { isBlank, isInside, closed: fence?.place === 'top' && next === undefined }),
    fence: next,
    isEndless: false,
  }
}

/** Undefined when the line is none, and no part of one. */
function readDefinition(reading: Reading, line: string): Reading | undefined {
  const { definitions, parts, part, before } = reading
  if (!definition.test(line) && !(before === 'definition' && titleLine.test(line))) return undefined
  const isApart = part === '' || before !== 'other'
  if (isApart && plainDefinition.test(line)) {
    const done = part === '' ? parts : [...parts, part]
    return { ...nothing, definitions: definitions + line, parts: done, part: line, before: 'definition' }
  }
  // A line that is not whole yet may become one.
  if (isApart && /^\[(?!\^).*$/.test(line)) return undefined
  return { ...nothing, part: parts.join('') + part + line, isEndless: true }
}

/** `last`: the block ends with this line. */
type LineKind = 'blank' | 'last' | 'definition' | 'other'

function kindOf(
  line: string,
  { isBlank, isInside, closed }: Record<'isBlank' | 'isInside' | 'closed', boolean>,
): LineKind {
  if (isBlank) return 'blank'
  return closed || (!isInside && heading.test(line)) ? 'last' : 'other'
}

/** Tells whether a line cannot belong to the part before it. */
function beginsBlock(line: string, at: Reading): boolean {
  if (/^\s/.test(line)) return false
  if (at.before === 'other') return at.isPlain && interruption.test(line)
  return at.before === 'last' || at.before === 'definition' || !(listItem.test(line) && at.hasItem)
}

/** The fence that goes on after `line`; `unclear` when only a full parser could tell. */
function fenceAfter(fence: Fence | undefined, line: string, hasItem: boolean): Fence | undefined | 'unclear' {
  if (fence === undefined) return openedFence(line, hasItem)
  if (fence.place === 'top') return closesFence(line, fence.mark) ? undefined : fence
  if (!/^[\s>]/.test(line)) return fence.isOpen ? 'unclear' : openedFence(line, hasItem)
  const [, before] = fenceLine.exec(line) ?? []
  if (before === undefined) return fence
  return before.includes('>') === (fence.place === 'quote') ? { ...fence, isOpen: !fence.isOpen } : 'unclear'
}

function openedFence(line: string, hasItem: boolean): Fence | undefined {
  const [, before = '', mark] = fenceLine.exec(line) ?? []
  if (mark === undefined) return undefined
  if (before.includes('>')) return { place: 'quote', mark, isOpen: true }
  if (/\S/.test(before) || (before !== '' && hasItem)) return { place: 'list', mark, isOpen: true }
  const isIndentedCode = before.length > 3 || before.includes('\t')
  return isIndentedCode ? undefined : { place: 'top', mark, isOpen: true }
}

/** Tells whether `line` ends the fence that `mark` began. */
export function closesFence(line: string, mark: string): boolean {
  const text = line.replace(/^ {0,3}/, '').trimEnd()
  return text.length >= mark.length && text === (mark[0] ?? '').repeat(text.length)
}
