/**
 * Packs the public packages for use before they are published: `npm run pack`. Out: tarballs in `packed/`, and the commands
 * that install them. The first three go together, because each names the others by their version; the others need them.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'packed')

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const name of ['core', 'api', 'client', 'ai-sdk', 'strands']) {
  const options = { cwd: join(root, 'packages', name), encoding: 'utf8', shell: process.platform === 'win32' } as const
  const result = spawnSync('pnpm', ['pack', '--pack-destination', folder], options)
  if (result.status !== 0) throw new Error(`Packing ${name} failed\n${result.stdout}${result.stderr}`)
}
const tarballs = (names: string) =>
  globSync(join(folder, `verbatim-${names}-[0-9]*.tgz`))
    .toSorted()
    .join(' ')
process.stdout.write(`Packed. In your project:

  npm install ${tarballs('{core,api,client}')}

Then, for the AI SDK or for Strands:

  npm install ${tarballs('ai-sdk')} ai
  npm install ${tarballs('strands')} @strands-agents/sdk
`)
