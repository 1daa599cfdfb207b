/**
 * `npm run bench`: what durability costs and how soon things go on when something dies, each next to something that it can be
 * compared with in the same run on the same machine. Groups: see `groups`. Flags: --only <group,group>, --quick (a smoke: little of
 * everything), --runs <rounds of delay and saturation> (5), --seconds <per round> (2), --profile (a CPU profile of the server
 * under delay and saturation in test-results/bench-profile/).
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import { env } from '../support/env.ts'
import { measureCatchUp } from './catch-up.ts'
import { measureFailover } from './failover.ts'
import type { BenchContext, Measure } from './group.ts'
import { say } from './group.ts'
import { measureIdleFollowers } from './idle-followers.ts'
import { measureRecovery } from './recovery.ts'
import { measureSecondProcess } from './second-process.ts'
import { measureStalledReaders } from './stalled-readers.ts'
import { measureDelay, measureSaturation } from './throughput.ts'

const groups = new Map<string, Measure>([
  ['delay', measureDelay],
  ['saturation', measureSaturation],
  ['second-process', measureSecondProcess],
  ['catch-up', measureCatchUp],
  ['followers', measureIdleFollowers],
  ['stalled', measureStalledReaders],
  ['recovery', measureRecovery],
  ['failover', measureFailover],
])

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
})
const asked = flags.only?.split(',') ?? [...groups.keys()]
const unknown = asked.filter((name) => !groups.has(name))
if (unknown.length > 0)
  throw new Error(`There is no ${unknown.join(', ')}; --only takes ${[...groups.keys()].join(', ')}`)

const mongo = await resolveMongoUri({ env })
const context: BenchContext = {
  mongoUri: mongo.uri,
  isQuick: flags.quick,
  rounds: Number(flags.runs ?? (flags.quick ? 1 : 5)),
  seconds: Number(flags.seconds ?? 2),
  isProfiled: flags.profile,
}
console.log(`${cpus().length} cores of ${cpus()[0]?.model}, Node ${process.version}`)
try {
  for (const [name, measure] of groups) {
    if (!asked.includes(name)) continue
    say(`${name} …`)
    for (const { title, rows } of await measure(context)) {
      console.log(`\n${title}`)
      console.table(rows)
    }
  }
} finally {
  await mongo.stop()
}
