/** The command: runs random plans or directed scenarios; the exit code says whether the promises held. */
import type { Scenario } from './faults/scenario.ts'
import { faultsWithoutScenario, scenarios } from './faults/scenarios.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { makePlan } from './plan/make-plan.ts'
import { runPlan } from './plan/run-plan.ts'
import { checkPlan } from './checker/check-plan.ts'
import { say, sayFailure, sayPlan, Totals } from './report.ts'
import type { PlanReport } from './report.ts'
import { Stage } from './stage.ts'

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options === 'help') {
    say(usage)
    return 0
  }
  const missing = faultsWithoutScenario()
  if (missing.length > 0) throw new Error(`No scenario covers ${missing.join(', ')}`)
  if (options.fault === 'list') {
    for (const scenario of scenarios) say(`${scenario.name.padEnd(28)} ${scenario.covers.padEnd(9)} ${scenario.what}`)
    return 0
  }
  const totals = new Totals()
  const sayTotals = () => (options.slice ? totals.sayBriefly() : totals.say())
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      sayTotals()
      process.exit(2)
    })
  try {
    if (options.slice) await tortureSlice(options, totals)
    else if (options.fault === undefined) await tortureAtRandom(options, totals)
    else await tortureByName(options, chooseScenarios(options), totals)
  } finally {
    // Also when the harness fails, after perhaps hundreds of plans.
    sayTotals()
  }
  return totals.failures === 0 ? 0 : 1
}

/** Keeps the seeds of plans on three nodes apart from those on one. */
const seedsApart = 1_000_000_000

/** The ends of a slice's parts, in minutes from its start; a late part shortens the next one. */
const sliceEnds = { oneNode: 2.5, threeNodes: 3.5, scenarios: 5 } as const

/** What CI runs: a part of everything, with new seeds each time. */
async function tortureSlice(options: Options, totals: Totals): Promise<void> {
  say(`A slice with the seed ${options.seed}`)
  const { seed, keepGoing } = options
  const startedAt = performance.now()
  const until = (end: keyof typeof sliceEnds) => startedAt + sliceEnds[end] * 60_000
  const mayGoOn = () => totals.failures === 0 || keepGoing
  const random = { ...options, seeds: Number.POSITIVE_INFINITY }
  // Of three slices one plays with change streams, one with polls alone, and one with hints that the servers give each other.
  const mode = { withoutChangeStreams: seed % 3 === 1, peerHints: seed % 3 === 2 }
  await tortureAtRandom({ ...random, ...mode, nodes: 1 }, totals, until('oneNode'))
  if (mayGoOn()) await tortureAtRandom({ ...random, nodes: 3, seed: seed + seedsApart }, totals, until('threeNodes'))
  const third = scenarios.filter(({ slow }, at) => slow !== true && at % 3 === seed % 3)
  // A slow machine has no time for all of them; the seed decides which come first.
  const first = Math.floor(seed / 3) % third.length
  const turned = [...third.slice(first), ...third.slice(0, first)]
  if (mayGoOn()) await tortureByName({ ...options, nodes: 1 }, turned, totals, until('scenarios'))
}

function endOf({ minutes }: Options): number {
  return performance.now() + minutes * 60_000
}

/** @param until no plan begins after it, by `performance.now()` */
async function tortureAtRandom(options: Options, totals: Totals, until = endOf(options)): Promise<void> {
  const { seeds, seed, nodes } = options
  await using stage = new Stage(nodes, options)
  for (let at = 0; at < seeds && performance.now() < until; at++) {
    const plan = makePlan({ seed: seed + at, nodes })
    const outcome = await stage.play(async (world) => {
      const { evidence, injected } = await runPlan(world, plan)
      return { injected, verdict: await checkPlan(world, evidence) }
    })
    if (!report({ ...plan, ...outcome }, { options, nodes, totals }) && !options.keepGoing) return
  }
}

/** Scenarios with the same number of nodes share a world. */
async function tortureByName(
  options: Options,
  chosen: readonly Scenario[],
  ...[totals, until = endOf(options)]: [Totals, number?]
): Promise<void> {
  const { seed } = options
  const nodesOf = (scenario: Scenario) => scenario.nodes ?? options.nodes
  for (const nodes of new Set(chosen.map(nodesOf))) {
    const ofCount = chosen.filter((scenario) => nodesOf(scenario) === nodes)
    await using stage = new Stage(nodes, options)
    for (const [at, { name, run }] of ofCount.entries()) {
      if (performance.now() > until) {
        totals.addUnplayed(ofCount.length - at)
        break
      }
      const outcome = await stage.play(async (world) => await run(world, seed, until))
      if (!report({ name, seed, profile: '', ...outcome }, { options, nodes, totals }) && !options.keepGoing) return
    }
  }
}

function chooseScenarios({ fault = '', slow }: Options): Scenario[] {
  if (fault === 'all') return scenarios.filter((scenario) => slow || scenario.slow !== true)
  const named = scenarios.filter(({ name, covers }) => name === fault || covers.split(' ').includes(fault))
  if (named.length === 0) throw new Error(`There is no fault ${fault}; --fault list shows the names`)
  return named
}

interface ReportContext {
  readonly options: Options
  readonly nodes: 1 | 3
  readonly totals: Totals
}

/** Returns whether the checker found no violation. */
function report(outcome: PlanReport, { options, nodes, totals }: ReportContext): boolean {
  totals.add(outcome)
  const isWell = outcome.verdict.violations.length === 0
  if (!isWell || !options.slice) sayPlan(outcome)
  if (!isWell) sayFailure(outcome, { ...options, nodes })
  return isWell
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The torture failed: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(2)
  },
)
