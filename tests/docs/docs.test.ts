/** What the documents say about the repository is held against it: links, and the changelog. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const documents = ['*.md', 'docs/**/*.md', 'packages/*/README.md', 'tests/README.md', 'torture/README.md'].flatMap(
  (pattern) => globSync(pattern, { cwd: root }),
)

it.each(documents)('Every relative link in %s leads to a file', (document) => {
  const links = [...read(document).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, link = '']) => link)
  expect(links.filter((link) => !existsSync(join(root, dirname(document), link)))).toEqual([])
})

it('CHANGELOG.md holds the text of every changeset that is not released; `pnpm changelog` writes it', () => {
  const changelog = read('CHANGELOG.md')
  const changesets = globSync('.changeset/*.md', { cwd: root })
  const texts = changesets.map(
    (file) =>
      [
        file,
        read(file)
          .replace(/^---\n.*?\n---\n/s, '')
          .trim(),
      ] as const,
  )
  expect(texts.filter(([, text]) => !changelog.includes(text)).map(([file]) => file)).toEqual([])
})
