/** What the documents say about the repository is held against it: links, the changelog, the lists of files of the architecture. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const documents = [
  '*.md',
  'docs/**/*.md',
  'packages/*/README.md',
  'tests/README.md',
  'torture/README.md',
  'examples/**/README.md',
].flatMap((pattern) => globSync(pattern, { cwd: root }))

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

describe('docs/architecture.md', () => {
  /** The paths of the bullets under a heading, in order. */
  function filesUnder(heading: string): string[] {
    const [, section = ''] = read('docs/architecture.md').split(`\n### ${heading}`)
    const [text = ''] = section.split('\n#')
    return [...text.matchAll(/^- `([^`]+)`/gm)].map(([, path = '']) => path)
  }

  it.each([
    ['The files of a prompt', 15],
    ['The files of a token', 20],
  ])('%s are all there, each is named once, and there are at most %i', (heading, most) => {
    const files = filesUnder(heading)
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
    expect(files).toEqual([...new Set(files)])
    expect(files.length).toBeGreaterThan(5)
    expect(files.length).toBeLessThanOrEqual(most)
  })
})
