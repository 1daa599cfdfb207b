/** What is fetched is pinned, what is shipped is listed, and what is published holds no tests. The commands run as developers run them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

function tool(name: string, ...args: string[]): string {
  return execFileSync(process.execPath, [join(root, 'tooling', name), ...args], { cwd: root, encoding: 'utf8' })
}

describe('what is fetched', () => {
  it('every action of a workflow is pinned by a commit', () => {
    const uses = globSync('.github/workflows/*.yml', { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(/uses: (\S+)/g)].map(([, action = '']) => action),
    )
    expect(uses.length).toBeGreaterThan(0)
    expect(uses.filter((action) => !/@[0-9a-f]{40}$/.test(action))).toEqual([])
  })

  it('every package that a script fetches has an exact version, and pnpm is the one of the workspace', () => {
    const { packageManager } = JSON.parse(read('package.json')) as { packageManager: string }
    const packages = ['.ci/run', 'tooling/fresh-clone.mjs'].flatMap((file) =>
      [...read(file).matchAll(/ -p (\S*@\S+)/g)].map(([, spec = '']) => spec),
    )
    expect(packages.length).toBeGreaterThan(1)
    expect(packages.filter((spec) => !/^[^@]+@\d+\.\d+\.\d+$/.test(spec))).toEqual([])
    expect(packages.filter((spec) => spec.startsWith('pnpm@'))).toContain(packageManager)
  })

  it('every package of the lockfile has a SHA-512 and comes from the registry', () => {
    const [, packages = ''] = read('pnpm-lock.yaml').split(/\n(?:packages|snapshots):\n/)
    const resolutions = [...packages.matchAll(/^ {4}resolution: (.*)$/gm)].map(([, resolution = '']) => resolution)
    expect(resolutions.length).toBeGreaterThan(300)
    expect(resolutions.filter((one) => !/^\{integrity: sha512-[A-Za-z0-9+/=]+\}$/.test(one))).toEqual([])
  })

  it("the workspace's settings refuse new releases, install scripts and sub-dependencies from elsewhere", () => {
    const settings = read('pnpm-workspace.yaml')
    const wanted = [
      'onlyBuiltDependencies: []',
      'strictDepBuilds: true',
      'minimumReleaseAge: 4320',
      'trustPolicy: no-downgrade',
      'blockExoticSubdeps: true',
    ]
    expect(wanted.filter((line) => !settings.split('\n').includes(line))).toEqual([])
    const [, listed = ''] = /^catalog:\n(.*?)^$/ms.exec(settings) ?? []
    const catalog = [...listed.matchAll(/^ {2}'?[@a-z][^:]*: (.+)$/gm)].map(([, version = '']) => version)
    expect(catalog.length).toBeGreaterThan(30)
    expect(catalog.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })
})

interface Bom {
  readonly components: readonly {
    readonly name: string
    readonly version: string
    readonly purl: string
    readonly hashes?: readonly unknown[]
    readonly licenses?: readonly unknown[]
  }[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

describe('the bill of materials', () => {
  it('names every dependency of all that is shipped, with its hash, and each thing that it refers to', () => {
    const { components, dependencies } = JSON.parse(tool('sbom.ts')) as Bom
    const names = new Set(components.map(({ name }) => name))
    for (const manifest of globSync('{packages/{core,api,client,ai-sdk,strands},apps/*}/package.json', { cwd: root })) {
      const { dependencies: needed = {} } = JSON.parse(read(manifest)) as { dependencies?: Record<string, string> }
      expect([manifest, Object.keys(needed).filter((name) => !names.has(name))]).toEqual([manifest, []])
    }
    expect(names.has('bson')).toBe(true) // the dependency of a dependency
    expect(names.has('typescript')).toBe(true)
    expect(names.has('knip')).toBe(false) // a tool of developers only
    const foreign = components.filter(({ name }) => !name.startsWith('@verbatim/'))
    expect(foreign.filter(({ hashes }) => hashes?.length !== 1).map(({ purl }) => purl)).toEqual([])
    const refs = new Set(dependencies.map(({ ref }) => ref))
    expect(dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !refs.has(ref))).toEqual([])
  })

  it('of a package is about that package alone, and is the same text each time', () => {
    const text = tool('sbom.ts', '--package', '@verbatim/core')
    expect(tool('sbom.ts', '--package', '@verbatim/core')).toBe(text)
    const names = (JSON.parse(text) as Bom).components.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['file-type', 'mongodb', 'zod', 'bson']))
    expect(names.filter((name) => name.startsWith('@trpc/') || name === 'react')).toEqual([])
  })
})

it('docs/licences.md lists what is shipped, and no installed package has a licence outside the list', () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'tooling/licences.ts'), '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
})

describe('a packed package', () => {
  let scratch: string
  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), 'verbatim-packed-'))
  })
  afterEach(() => rmSync(scratch, { recursive: true, force: true }))

  function pack(files: readonly string[], { exports = {}, components = ['zod'], text = '' } = {}): string {
    const bom = { components: components.map((name) => ({ name })) }
    const contents = new Map<string, string>([
      ['package.json', JSON.stringify({ exports, dependencies: { zod: '1.0.0' } })],
      ['dist/sbom.cdx.json', JSON.stringify(bom)],
      ...files.map((file) => [file, text] as const),
    ])
    for (const [file, text] of contents) {
      mkdirSync(join(scratch, 'package', dirname(file)), { recursive: true })
      writeFileSync(join(scratch, 'package', file), text)
    }
    const tarball = join(scratch, 'packed.tgz')
    execFileSync('tar', ['-czf', tarball, '-C', scratch, 'package'])
    return tarball
  }

  function faults(tarball: string): string[] {
    const { stderr } = spawnSync(process.execPath, [join(root, 'tooling/packed-files.ts'), tarball], {
      encoding: 'utf8',
    })
    return stderr.split('\n').filter((line) => line !== '')
  }

  it('is refused with a test or with support of tests in it, wherever that is', () => {
    const unwanted = ['src/run.test.ts', 'dist/run.test.js', 'src/testing/fake.ts', 'src/agents/testing/fake.ts']
    const found = faults(pack([...unwanted, 'src/run.ts', 'dist/testing-ground.js']))
    expect(found.toSorted()).toEqual(unwanted.map((file) => `${file} is code of tests`).toSorted())
  })

  it('may hold the support of tests that it exports', () => {
    const exports = { './testing': './dist/testing/index.js' }
    expect(faults(pack(['src/testing/index.ts', 'dist/testing/index.js'], { exports }))).toEqual([])
    expect(faults(pack(['dist/agents/testing/fake.js'], { exports }))).toHaveLength(1)
  })

  it("is refused when its hooks do not begin with 'use client', which a server component needs", () => {
    const exports = { './react': { types: './dist/react/index.d.ts', default: './dist/react/index.js' } }
    const file = 'dist/react/index.js'
    expect(faults(pack([file], { exports }))).toEqual([`${file} does not begin with 'use client'`])
    expect(faults(pack([file], { exports, text: '"use client";' }))).toEqual([])
  })

  it('is refused without a bill of materials that names its dependencies', () => {
    expect(faults(pack([], { components: ['react'] }))).toEqual(['dist/sbom.cdx.json does not name zod'])
  })
})
