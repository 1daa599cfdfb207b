/**
 * Cuts markdown where cutting changes nothing that is shown: at blank lines between top-level blocks. While an answer grows,
 * only its last part changes then, and the finished ones need not be rendered again for every token.
 * When in doubt it does not cut: a part too long costs time, a cut in the wrong place would show another text.
 */

interface Fence {
  /** In a list item or a quote, a fence may also end with what it is in. */
  readonly place: 'top' | 'list' | 'quote'
  readonly mark: string
  readonly isOpen: boolean
}

const fenceLine = /^(\s*(?:(?:[-*+]|\d{1,9}[.)])\s+|>\s?)*)(`{3,}(?!.*`)|~{3,})(.*)/
const listItem = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/m
/** Some HTML goes on over blank lines. */
const html = /^ {0,3}<[a-z/!?]/i
/** A definition is used by text anywhere, so the whole must be read as one. */
const definition = /^[\s>*+-]*\[[^\]]+\]:/

/** The parts of `markdown`; joined they are the same text again. */
export function splitMarkdown(markdown: string): string[] {
  const parts: string[] = []
  let fence: Fence | undefined
  let isAfterBlank = false
  let begin = 0
  let end = 0
  for (const line of markdown.split(/(?<=\n)/)) {
    const isBlank = line.trim() === ''
    if (fence === undefined && definition.test(line)) return [markdown]
    const next = isBlank ? fence : fenceAfter(fence, line, markdown.slice(begin, end))
    if (next === 'unclear' || (fence === undefined && html.test(line))) break
    const isInside = fence !== undefined && (next !== undefined || fence.place === 'top')
    if (isAfterBlank && !isBlank && !isInside && beginsBlock(line, markdown.slice(begin, end))) {
      parts.push(markdown.slice(begin, end))
      begin = end
    }
    fence = next
    isAfterBlank = isBlank
    end += line.length
  }
  if (begin < markdown.length) parts.push(markdown.slice(begin))
  return parts
}

/** Tells whether a line after a blank one cannot belong to the part before it. */
function beginsBlock(line: string, part: string): boolean {
  return !/^\s/.test(line) && !(listItem.test(line) && listItem.test(part))
}

/** The fence that goes on after `line`; `unclear` when only a full parser could tell. */
function fenceAfter(fence: Fence | undefined, line: string, part: string): Fence | undefined | 'unclear' {
  if (fence === undefined) return openedFence(line, part)
  if (fence.place === 'top') return closes(line, fence.mark) ? undefined : fence
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

function closes(line: string, mark: string): boolean {
  const text = line.replace(/^ {0,3}/, '').trimEnd()
  return text.length >= mark.length && text === (mark[0] ?? '').repeat(text.length)
}
