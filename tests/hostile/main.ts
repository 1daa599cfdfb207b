/**
 * `npm run hostile`: honest users beside one signed-in caller that sends the worst bodies and floods of every kind, in turn. Flags:
 * --seconds <of each attack> (20: ten minutes in all), --users <honest ones> (10), --only <attack,attack>, --max-mb <memory bound>.
 * The exit code is 1 when a call of an honest user failed, came more than 200 ms later than without an attack (99th percentile of
 * its kind), or the server's memory passed its bound (docs/operations.md, "Memory").
 */
import { cpus, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import { openBenchDatabase } from '../bench/bench-server.ts'
import { env } from '../support/env.ts'
import { attacks } from './attacks.ts'
import { startDiskProbe } from './disk-probe.ts'
import { judge } from './judge.ts'
import { runPhases } from './run-phases.ts'

const { values: flags } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  options: {
    seconds: { type: 'string', default: '20' },
    users: { type: 'string', default: '10' },
    only: { type: 'string' },
    'max-mb': { type: 'string', default: '700' },
  },
})
const names = attacks.map(({ name }) => name)
const asked = flags.only?.split(',') ?? names
const unknown = asked.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`There is no attack ${unknown.join(', ')}; --only takes ${names.join(', ')}`)

const seconds = Number(flags.seconds)
const mongo = await resolveMongoUri({ env })
console.log(`${cpus().length} cores of ${cpus()[0]?.model}, Node ${process.version}`)
try {
  await using database = openBenchDatabase(mongo.uri)
  // The database that the harness starts keeps its files there.
  await using disk = env['MONGODB_URI'] ? undefined : await startDiskProbe(tmpdir())
  const phases = await runPhases({
    server: { uri: mongo.uri, databaseName: database.databaseName },
    attacks: attacks.filter(({ name }) => asked.includes(name)),
    users: Number(flags.users),
    seconds,
    quietSeconds: seconds * 2,
    disk,
    onPhase: ({ name, failures }) => process.stderr.write(`${name}: ${failures.length} failures\n`),
  })
  const { outcomes, times, violations } = judge(phases, {
    maxAddedMs: 200,
    maxRssBytes: Number(flags['max-mb']) * 1024 * 1024,
  })
  console.log('\nWhat 50 and 99 of 100 calls of honest users took at most, in milliseconds')
  console.table(times)
  console.log('\nWhat became of each attack; "p99 added" is of the kind of call that suffers most')
  console.table(outcomes)
  for (const violation of violations) console.log(violation)
  console.log(violations.length === 0 ? 'Every honest user was served' : `${violations.length} violations`)
  process.exitCode = violations.length === 0 ? 0 : 1
} finally {
  await mongo.stop()
}
