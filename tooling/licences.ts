/**
 * Writes docs/licences.md: the licence of each package that users receive with Verbatim. `--check` compares instead. Both fail on a
 * licence that is not in the list below, also of tools that only developers run.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dependenciesOf, publicPackages, root, shippedPackages } from './dependencies.ts'

/** Licences that ask for a notice at most. */
const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'Unlicense',
])
/** Packages with another licence, and why it is no obstacle. MPL-2.0 binds changes of its own files only, and we change none. */
const exceptions: readonly { readonly name: RegExp; readonly licence: string }[] = [
  { name: /^lightningcss(-|$)/, licence: 'MPL-2.0' },
  { name: /^json-schema$/, licence: '(AFL-2.1 OR BSD-3-Clause)' }, // of the AI SDK, a peer; we choose BSD-3-Clause
  { name: /^axe-core$/, licence: 'MPL-2.0' }, // a tool of the page's tests
]

function isAllowed(name: string, licence: string): boolean {
  return allowed.has(licence) || exceptions.some((one) => one.name.test(name) && one.licence === licence)
}

/** Every installed package, tools included, by its licence. */
function installed(): Readonly<Record<string, readonly { readonly name: string }[]>> {
  const shell = process.platform === 'win32'
  const text = execFileSync('pnpm', ['licenses', 'list', '--json'], { cwd: root, encoding: 'utf8', shell })
  return JSON.parse(text) as ReturnType<typeof installed> // parse border: pnpm's own format
}

function table(names: readonly string[]): string {
  const rows = new Set(
    dependenciesOf(names)
      .filter(({ name, licence }) => licence !== undefined && !name.startsWith('@verbatim/') && !isForOnePlatform(name))
      .map(({ name, licence }) => `| \`${name}\` | ${licence} |`),
  )
  return ['| package | licence |', '| --- | --- |', ...rows].join('\n')
}

/** The compiled part of a package, for one platform: which one is installed depends on the machine. */
function isForOnePlatform(name: string): boolean {
  return /-(darwin|linux|win32|freebsd|android|openharmony|wasm32)(-|$)|^fsevents$/.test(name)
}

const refused = Object.entries(installed()).flatMap(([licence, packages]) =>
  packages.filter(({ name }) => !isAllowed(name, licence)).map(({ name }) => `${name} (${licence})`),
)
if (refused.length > 0) {
  console.error(`Licences that tooling/licences.ts does not allow: ${refused.join(', ')}`)
  process.exitCode = 1
}

const file = join(root, 'docs/licences.md')
const text = `# Licences

Verbatim is [MIT](../LICENSE). This is what comes with it; \`pnpm licences\` writes this file, and a test compares it. A licence that is not
in the list of \`tooling/licences.ts\` fails the same test.

## The published packages

${table(publicPackages)}

## All programs, the page and the demo provider included

\`lightningcss\` (MPL-2.0) is a part of the tool that the demo provider's test runner brings along. No program loads it.

${table(shippedPackages)}
`
const format = (written: string): string => written.replaceAll(/[ -]*\|[ -]*/g, '|')
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (format(readFileSync(file, 'utf8')) !== format(text)) {
  console.error('docs/licences.md is out of date; `pnpm licences` writes it')
  process.exitCode = 1
}
