/** Cuts a long list between its items, where every line surely belongs to one. */

export interface ListLayout {
  readonly type: 'list'
  readonly isOrdered: boolean
  readonly start: number
  /** Items of a loose list are paragraphs. */
  readonly isLoose: boolean
  readonly hasTasks: boolean
  /** Some items each, as a list of its own. */
  readonly groups: readonly string[]
}

/** One parser for each short item would take longer than to parse some again. */
const groupLength = 800

const marker = /^([-*+]|(\d{1,9})([.)]))( {1,4})(?=\S)/
/** The last line of a text that grows may be the beginning of the next item. */
const bareMarker = /^([-*+]|(\d{1,9})([.)])) *$/
const digits = /^\d{1,9}$/
const rule = /^(?:[-*_]\s*){3,}$/
const fence = /^\s*(?:`{3}|~{3}|\${2})/

/** Undefined when `source` is no list, or only a full parser could tell where its items begin. */
export function splitList(source: string): ListLayout | undefined {
  const first = marker.exec(source)
  if (first === null) return undefined
  const items: string[] = []
  let item = ''
  let indent = 0
  let isLoose = false
  for (const line of source.split(/(?<=\n)/)) {
    const isLast = !line.endsWith('\n')
    const own = marker.exec(line) ?? (isLast ? bareMarker.exec(line) : null)
    if (rule.test(line.trim()) || fence.test(line) || line.includes('\t')) return undefined
    if (own !== null) {
      if (!isSameList(first, own)) return undefined
      isLoose ||= /\n\s*\n$/.test(item)
      if (item !== '') items.push(item)
      item = line
      indent = own[0].length
    } else {
      const inner = line.trim() !== ''
      // After a blank line the parser decides which of the nested blocks the blank parts.
      const isOfItem = isInside(line, indent) || (isLast && digits.test(line))
      if (inner && (/\n\s*\n$/.test(item) || !isOfItem)) return undefined
      item += line
    }
  }
  const hasTasks = items.some((text) => /^\S+ +\[[ xX]\]\s/.test(text))
  const start = Number(first[2] ?? 1)
  return {
    type: 'list',
    isOrdered: first[2] !== undefined,
    start,
    isLoose,
    hasTasks,
    groups: inGroups([...items, item]),
  }
}

function inGroups(items: readonly string[]): string[] {
  const groups: string[] = []
  let group = ''
  for (const item of items) {
    group += item
    if (group.length < groupLength) continue
    groups.push(group)
    group = ''
  }
  return group === '' ? groups : [...groups, group]
}

/** Another mark begins another list. */
function isSameList(
  [, mark, number, end]: RegExpExecArray,
  [, other, otherNumber, otherEnd]: RegExpExecArray,
): boolean {
  return number === undefined ? mark === other : otherNumber !== undefined && end === otherEnd
}

function isInside(line: string, indent: number): boolean {
  return line.slice(0, indent).trim() === ''
}
