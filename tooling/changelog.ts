/** Writes the texts of the changesets into CHANGELOG.md, below "Unreleased": first what is new, then the fixes. */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const changelog = join(root, 'CHANGELOG.md')

const changesets = globSync('.changeset/*.md', { cwd: root })
  .toSorted()
  .map((file) => readFileSync(join(root, file), 'utf8'))
const plain = (text: string): string => text.replace(/^---\n.*?\n---\n/s, '').trim()
const isNew = (text: string): boolean => /^'.*': (?:minor|major)$/m.test(text)

const [head = '', rest = ''] = readFileSync(changelog, 'utf8').split(/(?<=\n## Unreleased[^\n]*\n)/)
const [, released = ''] = rest.split(/(?=\n## )/)
const sections = [
  ['New', changesets.filter(isNew)],
  ['Fixes', changesets.filter((text) => !isNew(text))],
] as const
const unreleased = sections
  .filter(([, texts]) => texts.length > 0)
  .map(([title, texts]) => `\n### ${title}\n\n${texts.map(plain).join('\n\n')}\n`)
writeFileSync(changelog, [head, ...unreleased, released].join(''))
