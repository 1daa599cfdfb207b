/**
 * What a packed package must not hold, and what it must: `node tooling/packed-files.ts TARBALL`. Tests and their support stay out,
 * unless the package exports them; the bill of materials is in.
 */
import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'

const billOfMaterials = 'dist/sbom.cdx.json'
const testFile = /\.(test|spec|bench)\.[^/]+$|(^|\/)(__tests__|__mocks__|__fixtures__|fixtures|tests?)\//
const supportFolder = /^((?:src|dist)\/(?:.*\/)?)(testing|test-support|test-kit)\//

interface Manifest {
  readonly exports?: Readonly<Record<string, unknown>>
  readonly dependencies?: Readonly<Record<string, string>>
}

/** Each fault of the tarball as one sentence. */
export function faultsOf(tarball: string): readonly string[] {
  const tar = (...args: string[]): string =>
    execFileSync('tar', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const files = tar('-tzf', tarball)
    .split('\n')
    .filter((file) => file !== '' && !file.endsWith('/'))
    .map((file) => file.replace(/^package\//, ''))
  const textOf = (file: string): string => tar('-xzOf', tarball, `package/${file}`)
  const read = (file: string): unknown => JSON.parse(textOf(file))
  const manifest = read('package.json') as Manifest // parse border
  const unwanted = files.filter((file) => isUnwanted(file, manifest)).map((file) => `${file} is code of tests`)
  const hooks = filesOf(manifest.exports?.['./react']).filter((file) => !/^["']use client["']/.test(textOf(file)))
  unwanted.push(...hooks.map((file) => `${file} does not begin with 'use client'`))
  if (!files.includes(billOfMaterials)) return [...unwanted, `${billOfMaterials} is missing`]
  const { components } = read(billOfMaterials) as { components: readonly { readonly name: string }[] } // parse border
  const named = new Set(components.map(({ name }) => name))
  const missing = Object.keys(manifest.dependencies ?? {}).filter((name) => !named.has(name))
  return [...unwanted, ...missing.map((name) => `${billOfMaterials} does not name ${name}`)]
}

/** The scripts that users get of one export. A server component may render hooks only from a file that says 'use client' first. */
function filesOf(target: unknown): string[] {
  const file = typeof target === 'object' && target !== null && 'default' in target ? target.default : undefined
  return typeof file === 'string' ? [file.replace(/^\.\//, '')] : []
}

function isUnwanted(file: string, { exports = {} }: Manifest): boolean {
  if (testFile.test(file)) return true
  const [, parent = '', folder = ''] = supportFolder.exec(file) ?? []
  if (folder === '') return false
  return !(/^(src|dist)\/$/.test(parent) && `./${folder}` in exports)
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const faults = process.argv.slice(2).flatMap(faultsOf)
  for (const fault of faults) console.error(fault)
  process.exitCode = Math.min(faults.length, 1)
}
