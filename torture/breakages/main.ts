/**
 * Breaks a copy of the engine on purpose, one way after the other, and asks the harness: it must notice each. The tree itself
 * is never touched. `npm run torture:breakages -- [--only NAME]`; exit code 0 when everything was noticed.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { breakages } from './breakages.ts'
import type { Breakage, Edit } from './breakages.ts'

const root = join(import.meta.dirname, '../..')
const copied = [
  'package.json',
  'packages/core',
  'packages/api',
  'packages/client',
  'packages/embedded-mongodb',
  'torture',
]
/** A broken run may have to be waited for in vain, in every reader; seeds differ, since some faults are a matter of luck. */
const seeds = [1, 2, 3]

interface Finding {
  readonly name: string
  readonly fault: string
  readonly wasNoticed: boolean
  readonly seconds: number
  readonly by: string
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: 'string' } },
    args: process.argv.slice(2).filter((arg) => arg !== '--'),
  })
  const chosen = breakages.filter(({ name }) => values.only === undefined || name === values.only)
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-breakages-'))
  try {
    await copyTree(folder)
    const findings: Finding[] = []
    for (const breakage of chosen) {
      const finding = await tryBreakage(folder, breakage)
      findings.push(finding)
      say(
        `${finding.wasNoticed ? 'noticed ' : 'MISSED  '} ${finding.name.padEnd(32)} ${finding.fault.padEnd(20)} ${finding.seconds.toFixed(0).padStart(4)} s  ${finding.by}`,
      )
    }
    const missed = findings.filter(({ wasNoticed }) => !wasNoticed)
    say(`${findings.length - missed.length} of ${findings.length} breakages noticed`)
    return missed.length === 0 ? 0 : 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Links between packages are relative, so the copy's packages see one another; other packages are shared. */
async function copyTree(folder: string): Promise<void> {
  const filter = (source: string) => !/[/\\](dist|\.cache|\.turbo)$/.test(source)
  for (const path of copied)
    await cp(join(root, path), join(folder, path), { recursive: true, verbatimSymlinks: true, filter })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
}

async function tryBreakage(folder: string, { name, fault, edits }: Breakage): Promise<Finding> {
  const startedAt = performance.now()
  const found = (by: string, wasNoticed: boolean): Finding => {
    return { name, fault, wasNoticed, by, seconds: (performance.now() - startedAt) / 1_000 }
  }
  const originals = new Map(
    await Promise.all(edits.map(async ({ file }) => [file, await readFile(join(folder, file), 'utf8')] as const)),
  )
  try {
    for (const edit of edits) await applyEdit(folder, edit)
    for (const seed of seeds) {
      const { code, output } = await torture(folder, ['--fault', fault, '--seed', String(seed)])
      if (code === 1) return found(firstViolation(output), true)
      if (code !== 0) return found(`the harness itself failed: ${output.slice(-300)}`, false)
    }
    return found('', false)
  } finally {
    for (const [file, text] of originals) await writeFile(join(folder, file), text)
  }
}

async function applyEdit(folder: string, { file, from, to }: Edit): Promise<void> {
  const path = join(folder, file)
  const parts = (await readFile(path, 'utf8')).split(from)
  if (parts.length !== 2) throw new Error(`${file} has changed: the text to break is there ${parts.length - 1} times`)
  await writeFile(path, parts.join(to))
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
