/**
 * Breaks a copy of the engine on purpose, one mutant at a time, and runs the torture on it: the torture must fail. The tree
 * itself stays as it is. `npm run torture:mutants -- [--only NAME]`; exit code 0 when every mutant is caught. `--check` only
 * tests that every edit still applies, in less than a second: a refactoring cannot silently void a mutant.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Edit, Mutant } from './mutant.ts'
import { mutants } from './mutants.ts'

const root = join(import.meta.dirname, '../..')
const copied = [
  'package.json',
  'packages/core',
  'packages/ai-sdk',
  'packages/api',
  'packages/client',
  'packages/embedded-mongodb',
  'packages/test-kit',
  'torture',
]
/** Some faults depend on chance, so a mutant may need more than one seed. */
const seeds = [1, 2, 3, 4, 5, 6]

interface Finding {
  readonly wasCaught: boolean
  readonly by: string
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, check: { type: 'boolean' } },
    args: process.argv.slice(2).filter((arg) => arg !== '--'),
  })
  if (values.check === true) return await checkEdits()
  const chosen = mutants.filter(({ name }) => values.only === undefined || name === values.only)
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-mutants-'))
  try {
    await copyTree(folder)
    let caught = 0
    for (const mutant of chosen) {
      const startedAt = performance.now()
      const { wasCaught, by } = await runMutant(folder, mutant)
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
      const columns = [wasCaught ? 'caught' : 'MISSED', mutant.name.padEnd(32), mutant.fault.padEnd(20)]
      say(`${columns.join(' ')} ${seconds.padStart(4)} s  ${by}`)
      if (wasCaught) caught++
    }
    say(`${caught} of ${chosen.length} mutants caught`)
    return caught === chosen.length ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function checkEdits(): Promise<number> {
  let failed = 0
  for (const { name, edits } of mutants) {
    await mutate(root, edits).catch((error: unknown) => {
      failed++
      say(`The mutant ${name} does not apply: ${error instanceof Error ? error.message : String(error)}`)
    })
  }
  if (failed > 0) say('Adapt torture/mutants to the new code, so that each mutant still breaks what it says.')
  return failed === 0 ? 0 : 1
}

/** Links between packages are relative, so the copy's packages see one another; other packages are shared. */
async function copyTree(folder: string): Promise<void> {
  const filter = (source: string) => !/[/\\](dist|\.cache|\.turbo)$/.test(source)
  for (const path of copied)
    await cp(join(root, path), join(folder, path), { recursive: true, verbatimSymlinks: true, filter })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
}

async function runMutant(folder: string, { fault, edits, mode }: Mutant): Promise<Finding> {
  const mutated = await mutate(folder, edits)
  try {
    for (const [file, { text }] of mutated) await writeFile(join(folder, file), text)
    for (const seed of seeds) {
      const inMode = mode === undefined ? [] : [mode]
      const { code, output } = await torture(folder, ['--fault', fault, '--seed', String(seed), ...inMode])
      if (code === 1) return { wasCaught: true, by: firstViolation(output) }
      if (code !== 0) return { wasCaught: false, by: `the harness itself failed: ${output.slice(-300)}` }
    }
    return { wasCaught: false, by: '' }
  } finally {
    for (const [file, { original }] of mutated) await writeFile(join(folder, file), original)
  }
}

interface MutatedFile {
  readonly original: string
  readonly text: string
}

/** The files that the edits change. */
async function mutate(folder: string, edits: readonly Edit[]): Promise<ReadonlyMap<string, MutatedFile>> {
  const files = new Map<string, MutatedFile>()
  for (const { file, from, to } of edits) {
    const original = files.get(file)?.original ?? (await readFile(join(folder, file), 'utf8'))
    const parts = (files.get(file)?.text ?? original).split(from)
    if (parts.length !== 2)
      throw new Error(`${file} contains ${String(from)} ${parts.length - 1} times instead of once`)
    files.set(file, { original, text: parts.join(to) })
  }
  return files
}

async function torture(folder: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const program = join(folder, 'torture/src/main.ts')
  const child = spawn(process.execPath, ['--conditions=verbatim-source', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

function firstViolation(output: string): string {
  const line = /^ {2}- (.*)$/m.exec(output)?.[1] ?? ''
  return line.length > 110 ? `${line.slice(0, 110)}…` : line
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(2)
  },
)
