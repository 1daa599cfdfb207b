/**
 * Cuts markdown where cutting changes nothing that is shown: between top-level blocks. While an answer grows, only its last part
 * changes then, and the finished ones need not be rendered again for every token.
 * When in doubt it does not cut: a part too long costs time, a cut in the wrong place would show another text.
 */

interface Fence {
  /** In a list item or a quote, a fence may also end with what it is in. */
  readonly place: 'top' | 'list' | 'quote'
  readonly mark: string
  readonly isOpen: boolean
}

/** A fence of code, or of a formula. */
const fenceLine = /^(\s*(?:(?:[-*+]|\d{1,9}[.)])\s+|>\s?)*)(`{3,}(?!.*`)|~{3,}|\${2,}(?!.*\$))(.*)/
const listItem = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/m
/** Some HTML goes on over blank lines. */
const html = /^ {0,3}<[a-z/!?]/i
/** A definition is used by text anywhere, so the whole must be read as one. */
const definition = /^[\s>*+-]*\[[^\]]+\]:/
/** A heading is one line. */
const heading = /^#{1,6}(?:\s|$)/
/** What begins a block even right after the line of a paragraph. */
const interruption = /^(?:#{1,6}(?:\s|$)|[-*+] +\S|1[.)] +\S|>|`{3,}[^`]*$|~{3,})/
/** A line that can only be one of a paragraph, wherever it stands. */
export const plainLine =
  /^(?:[\p{L}"'“”‘’(（「《【]|\p{N}(?!\d{0,8}[.)](?:\s|$))|[*_](?![\s*_-])|\*\*(?![\s*_-])|`(?!``))/u

/** The parts of `markdown`; joined they are the same text again. */
export function splitMarkdown(markdown: string): readonly string[] {
  return scan(markdown) ?? [markdown]
}

/** As {@link splitMarkdown}, of a text that grows: it reads on where the last part began. */
export function createSplitter(): (markdown: string) => readonly string[] {
  let known: { readonly markdown: string; readonly parts: readonly string[] } = { markdown: '', parts: [] }
  return (markdown) => {
    if (markdown !== known.markdown) known = { markdown, parts: partsAfter(known, markdown) }
    return known.parts
  }
}

function partsAfter(before: { markdown: string; parts: readonly string[] }, markdown: string): readonly string[] {
  if (!markdown.startsWith(before.markdown)) return splitMarkdown(markdown)
  // A first line that is not whole may yet turn out to belong to the part before it.
  const isSure = before.parts.at(-1)?.includes('\n') === true
  const kept = before.parts.slice(0, isSure ? -1 : -2)
  const rest = scan(markdown.slice(kept.reduce((length, part) => length + part.length, 0)))
  return rest === undefined ? [markdown] : [...kept, ...rest]
}

/** Undefined when a definition makes the whole one part. */
function scan(markdown: string): string[] | undefined {
  const parts: string[] = []
  let fence: Fence | undefined
  let before: LineKind = 'other'
  let isPlain = true
  let begin = 0
  let end = 0
  for (const line of markdown.split(/(?<=\n)/)) {
    const isBlank = line.trim() === ''
    if (fence === undefined && definition.test(line)) return undefined
    const part = markdown.slice(begin, end)
    const next = isBlank ? fence : fenceAfter(fence, line, part)
    if (next === 'unclear' || (fence === undefined && html.test(line))) break
    const isInside = fence !== undefined && (next !== undefined || fence.place === 'top')
    if (!isBlank && !isInside && part !== '' && beginsBlock(line, { part, before, isPlain })) {
      parts.push(part)
      begin = end
      isPlain = true
    }
    isPlain &&= plainLine.test(line)
    before = kindOf(line, { isBlank, isInside, closed: fence?.place === 'top' && next === undefined })
    fence = next
    end += line.length
  }
  if (begin < markdown.length) parts.push(markdown.slice(begin))
  return parts
}

/** `last`: the block ends with this line. */
type LineKind = 'blank' | 'last' | 'other'

function kindOf(
  line: string,
  { isBlank, isInside, closed }: Record<'isBlank' | 'isInside' | 'closed', boolean>,
): LineKind {
  if (isBlank) return 'blank'
  return closed || (!isInside && heading.test(line)) ? 'last' : 'other'
}

/** Tells whether a line cannot belong to the part before it. */
function beginsBlock(line: string, at: { part: string; before: LineKind; isPlain: boolean }): boolean {
  if (/^\s/.test(line)) return false
  if (at.before === 'other') return at.isPlain && interruption.test(line)
  return at.before === 'last' || !(listItem.test(line) && listItem.test(at.part))
}

/** The fence that goes on after `line`; `unclear` when only a full parser could tell. */
function fenceAfter(fence: Fence | undefined, line: string, part: string): Fence | undefined | 'unclear' {
  if (fence === undefined) return openedFence(line, part)
  if (fence.place === 'top') return closesFence(line, fence.mark) ? undefined : fence
  if (!/^[\s>]/.test(line)) return fence.isOpen ? 'unclear' : openedFence(line, part)
  const [, before] = fenceLine.exec(line) ?? []
  if (before === undefined) return fence
  return before.includes('>') === (fence.place === 'quote') ? { ...fence, isOpen: !fence.isOpen } : 'unclear'
}

function openedFence(line: string, part: string): Fence | undefined {
  const [, before = '', mark] = fenceLine.exec(line) ?? []
  if (mark === undefined) return undefined
  if (before.includes('>')) return { place: 'quote', mark, isOpen: true }
  if (/\S/.test(before) || (before !== '' && listItem.test(part))) return { place: 'list', mark, isOpen: true }
  const isIndentedCode = before.length > 3 || before.includes('\t')
  return isIndentedCode ? undefined : { place: 'top', mark, isOpen: true }
}

/** Tells whether `line` ends the fence that `mark` began. */
export function closesFence(line: string, mark: string): boolean {
  const text = line.replace(/^ {0,3}/, '').trimEnd()
  return text.length >= mark.length && text === (mark[0] ?? '').repeat(text.length)
}
