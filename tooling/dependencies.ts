/** What the packages and programs of this repository bring along when they run, as the lockfile has it. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '..')

/** The packages that are published. */
export const publicPackages = [
  '@verbatim/core',
  '@verbatim/api',
  '@verbatim/client',
  '@verbatim/ai-sdk',
  '@verbatim/strands',
] as const
/** All that users receive or run. */
export const shippedPackages = [...publicPackages, '@verbatim/server', '@verbatim/web', '@verbatim/cli'] as const

export interface Dependency {
  readonly name: string
  readonly version: string
  /** An SPDX expression; undefined when the package names none, or is for another platform and not installed. */
  readonly licence: string | undefined
  /** As in the lockfile, such as `sha512-…`; undefined for packages of this repository. */
  readonly integrity: string | undefined
  /** Keys of {@link keyOf}. */
  readonly dependsOn: readonly string[]
}

interface ListedPackage {
  readonly version: string
  readonly path: string
  readonly dependencies?: Readonly<Record<string, ListedPackage>>
  readonly optionalDependencies?: Readonly<Record<string, ListedPackage>>
}

interface ListedProject extends ListedPackage {
  readonly name: string
}

export const keyOf = ({ name, version }: { name: string; version: string }): string => `${name}@${version}`

/** `names` and everything that they need at run time, each once, in the order of their keys. */
export function dependenciesOf(names: readonly string[]): readonly Dependency[] {
  const projects = listProjects()
  const neededBy = indexNeeds(projects.values())
  const found = new Map<string, Dependency>()

  function add(name: string, { version, path }: ListedPackage): string {
    const project = projects.get(name)
    const key = keyOf({ name, version: project?.version ?? version })
    if (found.has(key)) return key
    const dependsOn: string[] = []
    const licence = licenceIn(path)
    found.set(key, { name, version: project?.version ?? version, licence, integrity: integrityOf(key), dependsOn })
    for (const [needed, listed] of Object.entries(neededBy.get(path) ?? {})) dependsOn.push(add(needed, listed))
    return key
  }

  for (const name of names) {
    const project = projects.get(name)
    if (project === undefined) throw new Error(`The workspace has no package ${name}`)
    add(name, project)
  }
  return [...found].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, dependency]) => dependency)
}

type Needs = Readonly<Record<string, ListedPackage>>

/** What each folder needs. pnpm lists a package with its needs in one place, and without them in all others. */
function indexNeeds(projects: Iterable<ListedPackage>): ReadonlyMap<string, Needs> {
  const needs = new Map<string, Needs>()
  const open = [...projects]
  for (let listed = open.pop(); listed !== undefined; listed = open.pop()) {
    const inner = { ...listed.dependencies, ...listed.optionalDependencies }
    if (Object.keys(inner).length === 0) continue
    if (!needs.has(listed.path)) needs.set(listed.path, inner)
    open.push(...Object.values(inner))
  }
  return needs
}

function listProjects(): ReadonlyMap<string, ListedProject> {
  const args = ['list', '--recursive', '--prod', '--json', '--depth', 'Infinity']
  const shell = process.platform === 'win32'
  const text = execFileSync('pnpm', args, { cwd: root, encoding: 'utf8', shell, maxBuffer: 256 * 1024 * 1024 })
  const projects = JSON.parse(text) as readonly ListedProject[] // parse border: pnpm's own format
  return new Map(projects.map((project) => [project.name, project]))
}

function licenceIn(folder: string): string | undefined {
  const manifest = join(folder, 'package.json')
  if (!existsSync(manifest)) return undefined
  const { license } = JSON.parse(readFileSync(manifest, 'utf8')) as { license?: unknown } // parse border
  return typeof license === 'string' ? license : undefined
}

let lockfile: string | undefined

function integrityOf(key: string): string | undefined {
  lockfile ??= readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
  for (const entry of [`  ${key}:`, `  '${key}':`]) {
    const at = lockfile.indexOf(`\n${entry}\n    resolution: {integrity: `)
    const found = at === -1 ? null : /integrity: ([^},]+)/.exec(lockfile.slice(at, at + 300))
    if (found !== null) return found[1]
  }
  return undefined
}
