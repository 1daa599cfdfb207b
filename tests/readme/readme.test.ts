import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createApi } from '@verbatim/api'
import { openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const here = fileURLToPath(new URL('.', import.meta.url))
const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')

/** The programs in a README, in order. */
function programsOf(text: string): string[] {
  return [...text.matchAll(/```tsx?\n(.*?)```/gs)].map((match) => match[1] ?? '')
}

const programs = programsOf(readme)

it('the README shows exactly the programs that are compiled here', async () => {
  const files = ['quickstart.ts', 'embed.ts', 'typed.ts']
  const compiled = await Promise.all(files.map(async (file) => await readFile(`${here}${file}`, 'utf8')))
  expect(programs).toEqual(compiled)
  expect(readme.split('\n').length).toBeLessThanOrEqual(120)
})

it.each([
  ['core', ['core.ts']],
  ['api', ['api-serve.ts', 'api-mount.ts']],
  ['client', ['client-start.ts', 'client-resume.ts', 'client-react.tsx', 'client-typed.tsx']],
])('the README of packages/%s shows parts of the programs that are compiled here', async (name, files) => {
  const shown = programsOf(await readFile(new URL(`../../packages/${name}/README.md`, import.meta.url), 'utf8'))
  expect(shown).toHaveLength(files.length)
  for (const [at, file] of files.entries()) expect(await readFile(`${here}${file}`, 'utf8')).toContain(shown[at])
})

it('the program of the README prints the answer as it comes and then its metrics', async () => {
  await using test = await openTestEngine({
    uri: inject('mongoUri'),
    agents: [scriptedAgent(['It ', 'just ', 'works.'])],
  })
  const api = createApi({ engine: test.engine, authenticate: () => ({ userId: 'ada' }) })
  const server = createServer(api.nodeHandler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // Beside the test, so that the program finds the packages as a user's would.
  const folder = await mkdtemp(`${here}.run-`)
  try {
    const [quickstart = ''] = programs
    await writeFile(`${folder}/quickstart.ts`, quickstart.replace(':8787', `:${port}`))
    const child = spawn(process.execPath, ['--conditions=verbatim-source', `${folder}/quickstart.ts`])
    const printed: string[] = []
    child.stdout.setEncoding('utf8').on('data', (text: string) => printed.push(text))
    const [code] = await once(child, 'close')
    expect(printed.join('')).toMatch(/^It just works\.\n \d+ tokens, [\d.]+ ms to the first\n$/)
    expect(code).toBe(0)
  } finally {
    await rm(folder, { recursive: true })
    await api.close()
    server.close()
  }
})
