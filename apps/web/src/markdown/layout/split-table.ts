/** Cuts a long table into groups of rows, where every line surely is one. */
import { createLineReader } from './read-lines.ts'

export interface TableLayout {
  readonly type: 'table'
  /** The row of names, and the line that says how columns stand. */
  readonly head: string
  readonly columns: number
  /** True when its columns are of one width, so that rows that are added move no other. Columns of a short table are as wide as their words. */
  readonly isEven: boolean
  /** Each with the head before it: a table of its own. */
  readonly groups: readonly string[]
}

const delimiter = /^ {0,3}\|(?:\s*:?-+:?\s*\|)+\s*$/
const row = /^ {0,3}\|/
/** A table of as many characters has even columns. */
const evenFrom = 2_000
/** So many rows are parsed and laid out together. */
const rowsPerGroup = 10

interface Reading {
  readonly names: string
  readonly head: string
  readonly columns: number
  readonly groups: readonly string[]
  /** The rows after the last whole group. */
  readonly rows: string
  readonly rowCount: number
  /** True after a blank line. */
  readonly hasEnded: boolean
}

const nothing: Reading = { names: '', head: '', columns: 0, groups: [], rows: '', rowCount: 0, hasEnded: false }

/** Of a text that grows. Undefined when it may be anything but one table. */
export function createTableSplitter(): (source: string) => TableLayout | undefined {
  const read = createLineReader<Reading | undefined>(nothing, readRow)
  return (source) => {
    const reading = read(source)
    if (reading === undefined || reading.head === '') return undefined
    const { head, columns, groups, rows } = reading
    const isEven = source.length >= evenFrom
    return { type: 'table', head, columns, isEven, groups: rows === '' ? groups : [...groups, head + rows] }
  }
}

function readRow(reading: Reading | undefined, line: string): Reading | undefined {
  if (reading === undefined) return undefined
  if (line.trim() === '') return reading.head === '' ? undefined : { ...reading, hasEnded: true }
  if (reading.hasEnded || !row.test(line)) return undefined
  if (reading.names === '') return { ...reading, names: line }
  if (reading.head === '') {
    if (!delimiter.test(line.trimEnd())) return undefined
    return { ...reading, head: reading.names + line, columns: line.trimEnd().split('|').length - 2 }
  }
  const { head, groups, rowCount } = reading
  const rows = reading.rows + line
  if (rowCount + 1 < rowsPerGroup) return { ...reading, rows, rowCount: rowCount + 1 }
  return { ...reading, groups: [...groups, head + rows], rows: '', rowCount: 0 }
}
