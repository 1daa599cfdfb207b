/** docs/benchmarks.md, from what the bench has measured. The data lies beside it, so that a run of some groups keeps the others. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Table } from '../group.ts'

/** What one run of the bench answers. */
export interface BenchReport {
  readonly machine: string
  readonly measuredAt: string
  readonly groups: Readonly<Record<string, readonly Table[]>>
}

/** Of each group, the run that measured it last. */
type StoredGroups = Readonly<Record<string, Omit<BenchReport, 'groups'> & { readonly tables: readonly Table[] }>>

const dataFile = fileURLToPath(new URL('../../../docs/benchmarks.json', import.meta.url))
const pageFile = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url))

export function writePage({ machine, measuredAt, groups }: BenchReport): void {
  const stored = existsSync(dataFile) ? (JSON.parse(readFileSync(dataFile, 'utf8')) as StoredGroups) : {}
  const fresh = Object.entries(groups).map(([name, tables]) => [name, { machine, measuredAt, tables }] as const)
  const all = { ...stored, ...Object.fromEntries(fresh) }
  writeFileSync(dataFile, `${JSON.stringify(all, undefined, 2)}\n`)
  writeFileSync(pageFile, toPage(all))
  execFileSync('pnpm', ['exec', 'oxfmt', dataFile, pageFile])
}

/** The page of the data. */
export function toPage(groups: StoredGroups): string {
  const sections = Object.entries(groups).map(([name, { machine, measuredAt, tables }]) => {
    const shown = tables.map(({ title, rows }) => `${title}:\n\n${toMarkdown(rows)}`)
    return `## ${name}\n\nMeasured ${measuredAt} on ${machine}.\n\n${shown.join('\n\n')}\n`
  })
  return `${introduction}\n${sections.join('\n')}`
}

const introduction = `# Benchmarks

\`npm run bench -- --write\` made this page; do not edit it. \`npm run bench -- --write --only ramp\` measures one group again.

**Method.** Server, database (one mongod, majority writes) and clients share the cores of one machine, so the figures in milliseconds are of that
machine. The ratios count: each thing is measured next to something that it can be compared with, in turn, in the same run. \`plain\` is a
bare \`node:http\` server that writes the same tokens and stores nothing. A token carries the time at which its agent made it, and the delay is
from then to its arrival at the client. A figure of several rounds is their median. \`tests/bench\` has the code.

An installation of \`@verbatim/core\`, \`@verbatim/api\` and \`@verbatim/client\` takes at most 35 MB: \`pnpm pack:check\` fails past that.
`

function toMarkdown(rows: Table['rows']): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const lines = [columns, columns.map(() => '---'), ...rows.map((row) => columns.map((column) => row[column] ?? ''))]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
