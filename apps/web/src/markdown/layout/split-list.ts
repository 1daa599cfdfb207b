/** Cuts a long list between its items, where every line surely belongs to one. */
import { createLineReader } from './read-lines.ts'

/** Some items, as a list of their own. */
interface Items {
  readonly source: string
  /** How many items come before them. */
  readonly before: number
}

export interface ListLayout {
  readonly type: 'list'
  readonly isOrdered: boolean
  readonly start: number
  /** Items of a loose list are paragraphs. */
  readonly isLoose: boolean
  readonly hasTasks: boolean
  readonly groups: readonly Items[]
}

/** One parser for each short item would take longer than to parse some again. */
const groupLength = 800

const marker = /^([-*+]|(\d{1,9})([.)]))( {1,4})(?=\S)/
/** The last line of a text that grows may be the beginning of the next item. */
const bareMarker = /^([-*+]|(\d{1,9})([.)])) *$/
const digits = /^\d{1,9}$/
const rule = /^(?:[-*_]\s*){3,}$/
const fence = /^\s*(?:`{3}|~{3}|\${2})/
const task = /^\S+ +\[[ xX]\]\s/

interface Reading {
  /** The mark of the first item. */
  readonly first: RegExpExecArray
  readonly groups: readonly Items[]
  /** The whole items after the last group. */
  readonly group: string
  readonly item: string
  /** How many items there are. */
  readonly count: number
  readonly countInGroups: number
  readonly indent: number
  readonly isLoose: boolean
  readonly hasTasks: boolean
  readonly isAfterBlank: boolean
}

/** Of a text that grows. Undefined when it is no list, or only a full parser could tell where its items begin. */
export function createListSplitter(): (source: string) => ListLayout | undefined {
  const read = createLineReader<Reading | 'nothing' | undefined>('nothing', readLine)
  return (source) => {
    const reading = read(source)
    if (reading === undefined || reading === 'nothing') return undefined
    const { first, groups, group, item, countInGroups, isLoose, hasTasks } = reading
    return {
      type: 'list',
      isOrdered: first[2] !== undefined,
      start: Number(first[2] ?? 1),
      isLoose,
      hasTasks,
      groups: [...groups, { source: group + item, before: countInGroups }],
    }
  }
}

function readLine(reading: Reading | 'nothing' | undefined, line: string): Reading | undefined {
  if (reading === undefined || rule.test(line.trim()) || fence.test(line) || line.includes('\t')) return undefined
  const isLast = !line.endsWith('\n')
  const own = marker.exec(line) ?? (isLast ? bareMarker.exec(line) : null)
  if (reading === 'nothing')
    return own === null ? undefined : { ...firstItem(own), item: line, hasTasks: task.test(line) }
  if (own !== null) return isSameList(reading.first, own) ? withItem(reading, line, own) : undefined
  const isBlank = line.trim() === ''
  const isOfItem = isInside(line, reading.indent) || (isLast && digits.test(line))
  // After a blank line the parser decides which of the nested blocks the blank parts.
  if (!isBlank && (reading.isAfterBlank || !isOfItem)) return undefined
  return { ...reading, item: reading.item + line, isAfterBlank: isBlank && !isLast }
}

function firstItem(mark: RegExpExecArray): Omit<Reading, 'item' | 'hasTasks'> {
  const indent = mark[0].length
  return { first: mark, groups: [], group: '', count: 1, countInGroups: 0, indent, isLoose: false, isAfterBlank: false }
}

function withItem(reading: Reading, line: string, own: RegExpExecArray): Reading {
  const { groups, count, countInGroups, isLoose, isAfterBlank, hasTasks } = reading
  const group = reading.group + reading.item
  const isFull = group.length >= groupLength
  return {
    ...reading,
    groups: isFull ? [...groups, { source: group, before: countInGroups }] : groups,
    group: isFull ? '' : group,
    item: line,
    count: count + 1,
    countInGroups: isFull ? count : countInGroups,
    indent: own[0].length,
    isLoose: isLoose || isAfterBlank,
    hasTasks: hasTasks || task.test(line),
    isAfterBlank: false,
  }
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
