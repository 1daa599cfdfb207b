/**
 * `npm run bench`: what durability costs and how soon things go on when something dies, each next to something that it can be
 * compared with in the same run on the same machine. Groups: see `groups`. Flags: --only <group,group>, --quick (a smoke: little of
 * everything), --runs <rounds of delay and saturation> (5), --seconds <per round> (2), --profile (a CPU profile of the server
 * under delay and saturation in test-results/bench-profile/), --json <file> (the tables as JSON), --write (the groups that have run, into
 * docs/benchmarks.md; those of earlier runs stay in it), --peers <folder with node_modules> (where the peers are installed; this one by default).
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import { env } from '../support/env.ts'
import { measureCalls } from './calls.ts'
import { measureCatchUp } from './catch-up.ts'
import { measureFailover } from './failover.ts'
import type { BenchContext, Measure, Table } from './group.ts'
import { say } from './group.ts'
import { measureFirstLoad } from './first-load.ts'
import { measureIdleFollowers } from './idle-followers.ts'
import { measureLimits } from './limits-cost.ts'
import { writePage } from './page/write-page.ts'
import type { BenchReport } from './page/write-page.ts'
import { measurePeers } from './peers/peers.ts'
import { measureRamp } from './ramp/ramp.ts'
import { measureRecovery } from './recovery.ts'
import { measureSecondProcess } from './second-process.ts'
import { measureStalledReaders } from './stalled-readers.ts'
import { measureDelay, measureSaturation } from './throughput.ts'
import { measureArchive, measureOplog, measureTurns } from './turns.ts'

const groups = new Map<string, Measure>([
  ['delay', measureDelay],
  ['saturation', measureSaturation],
  ['ramp', measureRamp],
  ['limits', measureLimits],
  ['calls', measureCalls],
  ['turns', measureTurns],
  ['archive', measureArchive],
  ['oplog', measureOplog],
  ['second-process', measureSecondProcess],
  ['catch-up', measureCatchUp],
  ['followers', measureIdleFollowers],
  ['stalled', measureStalledReaders],
  ['recovery', measureRecovery],
  ['failover', measureFailover],
  ['first-load', measureFirstLoad],
  ['peers', measurePeers],
])

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    peers: { type: 'string', default: '.' },
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
  peersFolder: resolve(flags.peers),
}
const machine = `${cpus().length} cores of ${cpus()[0]?.model}, Node ${process.version}`
const measured: Record<string, readonly Table[]> = {}
console.log(machine)
try {
  for (const [name, measure] of groups) {
    if (!asked.includes(name)) continue
    say(`${name} …`)
    const tables = await measure(context)
    measured[name] = tables
    for (const { title, rows } of tables) {
      console.log(`\n${title}`)
      console.table(rows)
    }
  }
} finally {
  await mongo.stop()
}
const report: BenchReport = { machine, measuredAt: new Date().toISOString().slice(0, 10), groups: measured }
if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(report, undefined, 2))
if (flags.write) writePage(report)
