/**
 * Packs the public packages and checks them as users get them: their files, publint and attw on the tarballs, then a consumer outside the
 * workspace that installs them and type-checks tests/types together with its libraries, as Node and as a bundler resolve modules.
 * What they cost is checked too: the bytes that a page loads, and those that an installation takes.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, globSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { faultsOf } from './packed-files.ts'

const root = join(import.meta.dirname, '..')
const publicPackages = ['core', 'api', 'client', 'ai-sdk', 'strands'] as const
const scratch = mkdtempSync(join(tmpdir(), 'verbatim-pack-'))

type Step = Readonly<{ title: string; cwd?: string }>

function run({ title, cwd = root }: Step, program: string, args: readonly string[]): void {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' })
  if (result.status === 0) return
  throw new Error(`${title} failed\n${result.stdout}${result.stderr}`)
}

function pack(name: string): string {
  const folder = join(scratch, name)
  mkdirSync(folder)
  run({ title: `Packing ${name}`, cwd: join(root, 'packages', name) }, 'pnpm', ['pack', '--pack-destination', folder])
  const [tarball] = globSync(join(folder, '*.tgz'))
  if (tarball === undefined) throw new Error(`pnpm packed no ${name}`)
  return tarball
}

function inspect(name: string, tarball: string): void {
  const faults = faultsOf(tarball)
  if (faults.length > 0) throw new Error(`The packed ${name} is wrong: ${faults.join('; ')}`)
  run({ title: `publint of ${name}` }, 'pnpm', ['exec', 'publint', 'run', '--strict', tarball])
  run({ title: `attw of ${name}` }, 'pnpm', ['exec', 'attw', '--profile', 'esm-only', '--no-emoji', tarball])
}

/** TypeScript silently makes `any` of an import from a package that the consumer lacks. */
function assertNoRouterImport(): void {
  const leaks = globSync(join(root, 'packages/client/dist/**/*.{js,d.ts}')).filter((file) =>
    /(?:from|import\()\s*["']@verbatim\/api/.test(readFileSync(file, 'utf8')),
  )
  if (leaks.length > 0) throw new Error(`The client's build imports @verbatim/api: ${leaks.join(', ')}`)
}

function installedVersion(name: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'tests/node_modules', name, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version)
  throw new Error(`${name} has no version`)
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value, undefined, 2))
}

interface Consumer {
  readonly name: string
  /** Of tests/types. */
  readonly files: readonly string[]
  readonly packages: readonly (typeof publicPackages)[number][]
  /** In the versions of the repository. */
  readonly libraries: readonly string[]
  readonly types: readonly string[]
}

/** A page has nothing of the server but the type of its agents. */
const consumers: readonly Consumer[] = [
  {
    name: 'page',
    files: ['consumer.ts', 'agents.ts', 'typed-client.ts', 'typed-react.tsx'],
    packages: ['core', 'client'],
    libraries: ['@anthropic-ai/sdk', 'react', '@types/react', 'zod'], // its agents are made with claude()
    types: [],
  },
  {
    name: 'server',
    files: ['agents.ts', 'typed-server.ts'],
    packages: ['core', 'api', 'client'],
    libraries: ['@anthropic-ai/sdk', '@trpc/server', '@types/node', 'zod'],
    types: ['node'],
  },
]

/** How Node finds a module, and how a bundler does. */
const resolutions = [
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'esnext', moduleResolution: 'bundler' },
] as const

/** In pnpm's strict node_modules a type from an undeclared dependency is an error. */
function checkConsumer(
  { name, files, packages, libraries, types }: Consumer,
  tarballs: ReadonlyMap<string, string>,
): void {
  const folder = join(scratch, name)
  mkdirSync(folder)
  const overrides = Object.fromEntries([...tarballs].map(([packed, path]) => [`@verbatim/${packed}`, `file:${path}`]))
  const own = packages.map((used) => [`@verbatim/${used}`, overrides[`@verbatim/${used}`]])
  const dependencies = Object.fromEntries([...own, ...libraries.map((used) => [used, installedVersion(used)])])
  writeJson(folder, 'package.json', { private: true, type: 'module', dependencies })
  writeJson(folder, 'pnpm-workspace.yaml', { packages: [], overrides })
  for (const file of files) copyFileSync(join(root, 'tests/types', file), join(folder, file))
  run({ title: `Installing the ${name}`, cwd: folder }, 'pnpm', ['install', '--prefer-offline', '--ignore-scripts'])
  for (const resolution of resolutions) {
    const compilerOptions = {
      ...resolution,
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable', 'dom', 'dom.iterable'],
      jsx: 'react-jsx',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      skipLibCheck: false,
      types,
    }
    writeJson(folder, 'tsconfig.json', { compilerOptions, include: ['*.ts', '*.tsx'] })
    const title = `Type-checking the ${name} (${resolution.moduleResolution})`
    run({ title, cwd: folder }, join(root, 'node_modules/.bin/tsc'), ['-p', '.'])
  }
}

/** What a server with pages needs; the other packages bring along the frameworks that they are for. */
const plainPackages = ['core', 'api', 'client'] as const

/** As the README says: in an empty folder, with npm and the tarballs alone. */
function checkPlainInstallation(tarballs: ReadonlyMap<string, string>): void {
  const folder = join(scratch, 'plain')
  mkdirSync(folder)
  writeJson(folder, 'package.json', { private: true, type: 'module' })
  const files = plainPackages.flatMap((name) => tarballs.get(name) ?? [])
  const install = ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', ...files]
  run({ title: 'Installing the tarballs with npm', cwd: folder }, 'npm', install)
  checkInstalledBytes(join(folder, 'node_modules'))
  const imports = ['core', 'core/server', 'api', 'client'].map((name) => `import '@verbatim/${name}'`)
  writeFileSync(join(folder, 'main.js'), [...imports, withoutSdk].join('\n'))
  run({ title: 'Importing the packages', cwd: folder }, process.execPath, ['main.js'])
}

/** Without the optional peer a program can import everything, and claude() tells what to install. */
const withoutSdk = `
import { claude } from '@verbatim/core/claude'
let refusal
try { claude({ apiKey: 'none' }) } catch (error) { refusal = error }
if (refusal?.code !== 'INVALID_CONFIGURATION' || !refusal.message.includes('npm install @anthropic-ai/sdk')) throw refusal
`

/** All three packages with what they bring: small enough for a function of a cloud. */
const maxInstalledBytes = 35 * 1024 * 1024

/** Without the compiler, a peer of tRPC's types, which npm installs by itself: programs that run need none. */
function checkInstalledBytes(folder: string): void {
  const files = globSync('**/*', { cwd: folder, exclude: ['typescript', '@typescript'] })
  const stats = files.map((file) => lstatSync(join(folder, file)))
  const bytes = stats.reduce((sum, { blocks }) => sum + blocks * 512, 0) // what the disk gives, as `du` counts
  console.log(`The three packages take ${(bytes / 1024 / 1024).toFixed(1)} MB installed`)
  if (bytes > maxInstalledBytes) throw new Error(`An installation takes ${bytes} bytes; at most ${maxInstalledBytes}`)
}

try {
  const tarballs = new Map(publicPackages.map((name) => [name, pack(name)]))
  for (const [name, tarball] of tarballs) inspect(name, tarball)
  assertNoRouterImport()
  run({ title: 'Measuring the client' }, 'pnpm', ['exec', 'size-limit'])
  for (const consumer of consumers) checkConsumer(consumer, tarballs)
  checkPlainInstallation(tarballs)
  console.log('The packed packages are sound')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
