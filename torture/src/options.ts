import { parseArgs } from 'node:util'

export interface Options {
  /** The number of random plans. */
  readonly seeds: number
  /** Ends the series early, in minutes; Infinity for never. */
  readonly minutes: number
  /** The seed of the first plan; each further plan has the next seed. */
  readonly seed: number
  readonly nodes: 1 | 3
  /** Servers learn of what the others write by polls alone. */
  readonly withoutChangeStreams: boolean
  /** Servers give each other hints. */
  readonly peerHints: boolean
  /** A directed scenario, a fault, `all`, or undefined for random plans. */
  readonly fault: string | undefined
  /** A part of everything, as CI runs it. */
  readonly slice: boolean
  /** With `all`: also the slow scenarios. */
  readonly slow: boolean
  /** Goes on after a failure. */
  readonly keepGoing: boolean
}

export const usage = `Tortures Verbatim: seeded plans inject faults into real servers and a real MongoDB; a checker compares what clients saw.

Usage: npm run torture -- [options]

  --seeds N      random plans to run [20; no limit with --minutes]
  --minutes M    begin no plan after this time
  --seed S       seed of the first plan; the next ones have S + 1, S + 2, … [a new one each time]
  --nodes 1|3    nodes of the MongoDB replica set [1]
  --without-change-streams  servers poll, as where MongoDB has no change streams
  --peer-hints   servers give each other hints, as in a large fleet
  --fault NAME   directed scenarios instead of random plans: a name, a fault such as F9, or "all"; "list" shows them
  --slice        as in CI: random plans on one node and on three, and a third of the scenarios; about five minutes
  --slow         with "all": also the scenarios that take a minute
  --keep-going   go on after a plan that failed
  --help         this text

Exit code 0: nothing was lost, doubled, reordered or left hanging. 1: the checker found a violation, and prints its seed.
2: the harness itself failed.
`

/** @throws an error of one sentence when an option is wrong */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args].filter((arg) => arg !== '--'),
    options: {
      seeds: { type: 'string' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      nodes: { type: 'string', default: '1' },
      'without-change-streams': { type: 'boolean', default: false },
      'peer-hints': { type: 'boolean', default: false },
      fault: { type: 'string' },
      slice: { type: 'boolean', default: false },
      slow: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  if (values.nodes !== '1' && values.nodes !== '3') throw new Error('--nodes is 1 or 3')
  const minutes = numberOf('minutes', values.minutes) ?? Number.POSITIVE_INFINITY
  return {
    seeds: numberOf('seeds', values.seeds) ?? (Number.isFinite(minutes) ? Number.POSITIVE_INFINITY : 20),
    minutes,
    seed: numberOf('seed', values.seed) ?? freshSeed(),
    nodes: values.nodes === '3' ? 3 : 1,
    withoutChangeStreams: values['without-change-streams'],
    peerHints: values['peer-hints'],
    fault: values.fault,
    slice: values.slice,
    slow: values.slow,
    keepGoing: values['keep-going'],
  }
}

function numberOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} is a number of at least 0`)
  return value
}

function freshSeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 1) % 1_000_000_000
}
