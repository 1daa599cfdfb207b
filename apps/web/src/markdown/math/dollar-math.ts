/**
 * Formulas as models write them: `$x$`, `$$x$$`, `\(x\)` and `\[x\]`. Out: all with two dollars, which the parser takes. Code stays
 * as it is, and so do prices: a formula in single dollars begins and ends without a space, and no digit or letter follows it.
 */
const code = /(`+)(?:(?!\1)[^])*?\1(?!`)|^(?:`{3,}|~{3,})[^]*/m
const formula =
  /\\\[(?<block>[^]+?)\\\]|\\\((?<inline>[^\n]+?)\\\)|(?<![\\$\w])\$(?=[^\s$])(?<single>[^$\n]*[^\s\\$])\$(?![\d$\w])/
const either = new RegExp(`${code.source}|${formula.source}`, 'gm')

export function toDollarMath(markdown: string): string {
  if (!/\$|\\[([]/.test(markdown)) return markdown
  let found = ''
  let end = 0
  for (const { 0: whole, index, groups = {} } of markdown.matchAll(either)) {
    found += markdown.slice(end, index) + toDollars(groups, whole)
    end = index + whole.length
  }
  return found + markdown.slice(end)
}

function toDollars({ block, inline, single }: Readonly<Record<string, string | undefined>>, whole: string): string {
  const tex = (block ?? inline ?? single)?.trim()
  if (tex === undefined) return whole
  // Within one line it stays there.
  return block?.includes('\n') === true ? `$$\n${tex}\n$$` : `$$${tex}$$`
}
