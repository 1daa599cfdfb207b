/**
 * Formulas as models write them: `$x$`, `$$x$$`, `\(x\)` and `\[x\]`. Out: all with two dollars, which the parser takes. Code stays
 * as it is, and so do prices: a formula in single dollars begins and ends without a space, and no digit or letter follows it.
 */
const code = /(`+)(?:(?!\1)[^])*?\1(?!`)|^(?:`{3,}|~{3,})[^]*/m
const formula =
  /\$\$(?<double>[^$\n]+)\$\$|\\\[(?<block>[^]+?)\\\]|\\\((?<inline>[^\n]+?)\\\)|(?<![\\$\w])\$(?=[^\s$])(?<single>[^$\n]*[^\s\\$])\$(?![\d$\w])/
const either = new RegExp(`${code.source}|${formula.source}`, 'gm')

export function toDollarMath(markdown: string): string {
  if (!/\$|\\[([]/.test(markdown)) return markdown
  let found = ''
  let end = 0
  for (const { 0: whole, index, groups = {} } of markdown.matchAll(either)) {
    const indent = indentOfLine(markdown, index, index + whole.length)
    found += markdown.slice(end, index) + toDollars(groups, whole, indent)
    end = index + whole.length
  }
  return found + markdown.slice(end)
}

/** The white space before what has a line to itself; undefined where there are words beside it. */
function indentOfLine(markdown: string, start: number, end: number): string | undefined {
  const before = markdown.slice(markdown.lastIndexOf('\n', start - 1) + 1, start)
  const [after = ''] = markdown.slice(end).split('\n', 1)
  // More before it would be code.
  return /^ {0,3}$/.test(before) && after.trim() === '' ? before : undefined
}

/** @param indent of a line that holds nothing else: a formula with a line to itself is shown on one */
function toDollars(
  { block, double, inline, single }: Readonly<Record<string, string | undefined>>,
  whole: string,
  indent: string | undefined,
): string {
  const tex = (block ?? double ?? inline ?? single)?.trim()
  if (tex === undefined) return whole
  if (block?.includes('\n') === true) return `$$\n${tex}\n$$`
  const isShown = indent !== undefined && (block ?? double) !== undefined
  return isShown ? `$$\n${indent}${tex}\n${indent}$$` : `$$${tex}$$`
}
