/** What the guides show is what the examples run. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const programs = globSync('examples/*/*.{ts,tsx}', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'))
const guides = globSync('docs/guides/*.md', { cwd: root })

it.each(guides)('Every program in %s is a part of an example that CI runs', (guide) => {
  const shown = [...readFileSync(join(root, guide), 'utf8').matchAll(/```tsx?\n(.*?)```/gs)].map(
    ([, code = '']) => code,
  )
  expect(shown.length).toBeGreaterThan(5)
  expect(shown.filter((code) => !programs.some((program) => program.includes(code)))).toEqual([])
})
