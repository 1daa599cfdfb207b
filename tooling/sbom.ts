/**
 * The software bill of materials as CycloneDX 1.6: `node tooling/sbom.ts [--package NAME] [--out FILE]`. Without a package it covers
 * all that is shipped. The same lockfile gives the same text: there is no time and no random id in it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { dependenciesOf, keyOf, root, shippedPackages } from './dependencies.ts'
import type { Dependency } from './dependencies.ts'

const { values } = parseArgs({ options: { package: { type: 'string' }, out: { type: 'string' } } })
const subject = values.package

function purlOf({ name, version }: Dependency): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}

function componentOf(dependency: Dependency): object {
  const { name, version, licence, integrity } = dependency
  return {
    type: 'library',
    'bom-ref': keyOf(dependency),
    name,
    version,
    purl: purlOf(dependency),
    ...(licence === undefined ? {} : { licenses: [{ expression: licence }] }),
    ...(integrity === undefined ? {} : { hashes: [hashOf(integrity)] }),
  }
}

function hashOf(integrity: string): object {
  const [algorithm = '', digest = ''] = integrity.split('-', 2)
  const content = Buffer.from(digest, 'base64').toString('hex')
  return { alg: algorithm.toUpperCase().replace('SHA', 'SHA-'), content }
}

const dependencies = dependenciesOf(subject === undefined ? shippedPackages : [subject])
const { version } = JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8')) as { version: string }
const main = dependencies.find(({ name }) => name === subject)
const bom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.6',
  version: 1,
  metadata: {
    component:
      main === undefined
        ? { type: 'application', 'bom-ref': 'verbatim', name: 'verbatim', version }
        : componentOf(main),
  },
  components: dependencies.filter((one) => one !== main).map(componentOf),
  dependencies: dependencies.map((one) => ({ ref: keyOf(one), dependsOn: one.dependsOn.toSorted() })),
}
const text = `${JSON.stringify(bom, undefined, 2)}\n`
if (values.out === undefined) process.stdout.write(text)
else writeFileSync(values.out, text)
