/** Cuts a long table into groups of rows, where every line surely is one. */

export interface TableLayout {
  readonly type: 'table'
  /** The row of names, and the line that says how columns stand. */
  readonly head: string
  readonly columns: number
  /** Each with the head before it: a table of its own. */
  readonly groups: readonly string[]
}

const delimiter = /^ {0,3}\|(?:\s*:?-+:?\s*\|)+\s*$/
const row = /^ {0,3}\|/
/** An even number, so that stripes go on. */
const rowsPerGroup = 20

/** Undefined when `source` may be anything but one table. */
export function splitTable(source: string): TableLayout | undefined {
  const [names = '', line = '', ...rows] = source.trimEnd().split(/(?<=\n)/)
  if (!row.test(names) || !delimiter.test(line.trimEnd()) || !rows.every((one) => row.test(one))) return undefined
  const head = names + line
  const count = Math.ceil(rows.length / rowsPerGroup)
  const groups = Array.from({ length: count }, (_, at) => {
    return head + rows.slice(at * rowsPerGroup, (at + 1) * rowsPerGroup).join('')
  })
  return { type: 'table', head, columns: line.split('|').length - 2, groups }
}
