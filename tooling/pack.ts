/**
 * Packs the public packages for use before they are published: `npm run pack`. Out: three tarballs in `packed/`, and the command
 * that installs them. They are installed together, because each names the others by their version.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'packed')

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const name of ['core', 'api', 'client']) {
  const options = { cwd: join(root, 'packages', name), encoding: 'utf8', shell: process.platform === 'win32' } as const
  const result = spawnSync('pnpm', ['pack', '--pack-destination', folder], options)
  if (result.status !== 0) throw new Error(`Packing ${name} failed\n${result.stdout}${result.stderr}`)
}
const tarballs = globSync(join(folder, '*.tgz')).toSorted()
process.stdout.write(`Packed. In your project:\n\n  npm install ${tarballs.join(' ')}\n`)
