/**
 * Refuses the words that went where oxlint does not look: in strings, in Markdown, and in comments that wrap. The lists stand in
 * the lint file: `id-denylist` (names) and the terms of `no-warning-comments` (words and phrases).
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const config = '.oxlintrc.json'

interface LintFile {
  readonly rules: {
    readonly 'id-denylist': readonly string[]
    readonly 'no-warning-comments': readonly [string, { readonly terms: readonly string[] }]
  }
}

const { rules } = JSON.parse(readFileSync(join(root, config), 'utf8')) as LintFile
// oxlint refuses a name that is also an English word, but only as a name.
const names = rules['id-denylist'].filter((name) => /[a-z][A-Z]/.test(name))
// A phrase may wrap: white space separates its words, and perhaps the mark of the next comment line.
const wrap = String.raw`\s+(?:(?:\*|//|#)\s+)?`
const phrases = rules['no-warning-comments'][1].terms.map((term) => term.replaceAll(' ', wrap))
const refused = [new RegExp(`\\b(?:${names.join('|')})\\b`, 'g'), new RegExp(`\\b(?:${phrases.join('|')})\\b`, 'gi')]

const patterns = ['*.ts', '*.tsx', '*.mjs', '*.css', '*.html', '*.md', '*.yaml', '*.yml', '.ci/run']
// A table of renames names the words that went.
const exempt = [':!CHANGELOG.md', ':!.changeset/*']
const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', ...patterns, ...exempt]
const files = execFileSync('git', listing, { cwd: root, encoding: 'utf8' }).split('\0')

const found = [...new Set(files)]
  .filter((file) => file !== '' && file !== 'pnpm-lock.yaml' && existsSync(join(root, file)))
  .flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return refused.flatMap((pattern) =>
      [...text.matchAll(pattern)].map(({ 0: words, index }) => {
        return `${file}:${text.slice(0, index).split('\n').length}: ${words.replaceAll(/\s+/g, ' ')}`
      }),
    )
  })
if (found.length > 0) {
  console.log(found.join('\n'))
  console.log(
    `The project does not use these words; their list is in ${config}, and better ones are in docs/glossary.md`,
  )
  process.exitCode = 1
}
