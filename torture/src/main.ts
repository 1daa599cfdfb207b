/** The command: random plans, or directed scenarios, on one world; the exit code tells whether the promises held. */
import type { Scenario } from './faults/scenario.ts'
import { faultsWithoutScenario, scenarios } from './faults/scenarios.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { makePlan } from './plan/make-plan.ts'
import { runPlan } from './plan/run-plan.ts'
import { judge } from './oracle/judge.ts'
import { say, sayFailure, sayPlan, Totals } from './report.ts'
import { Stage } from './stage.ts'
import type { PlanOutcome } from './stage.ts'

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
  if (options.slice) await tortureSlice(options, totals)
  else if (options.fault === undefined) await tortureAtRandom(options, totals)
  else await tortureByName(options, chooseScenarios(options), totals)
  if (options.slice) totals.sayBriefly()
  else totals.say()
  return totals.failures === 0 ? 0 : 1
}

/** Seeds of plans on three nodes are so far from those on one. */
const seedsApart = 1_000_000_000

/** What CI runs: some of everything, with other seeds each time, in about seven minutes. */
async function tortureSlice(options: Options, totals: Totals): Promise<void> {
  say(`A slice with the seed ${options.seed}`)
  const { seed, keepGoing } = options
  const mayGoOn = () => totals.failures === 0 || keepGoing
  const random = { ...options, seeds: Number.POSITIVE_INFINITY }
  await tortureAtRandom({ ...random, minutes: 3.5, nodes: 1 }, totals)
  if (mayGoOn()) await tortureAtRandom({ ...random, minutes: 1.5, nodes: 3, seed: seed + seedsApart }, totals)
  const third = scenarios.filter(({ slow }, at) => slow !== true && at % 3 === seed % 3)
  // A machine that is slow plays fewer of them: the slice has an end.
  if (mayGoOn()) await tortureByName({ ...options, minutes: 2, nodes: 1 }, third, totals)
}

async function tortureAtRandom(options: Options, totals: Totals): Promise<void> {
  const { seeds, minutes, seed, nodes } = options
  const until = performance.now() + minutes * 60_000
  await using stage = new Stage(nodes)
  for (let at = 0; at < seeds && performance.now() < until; at++) {
    const plan = makePlan({ seed: seed + at, nodes })
    const outcome = await stage.play(async (world) => {
      const { evidence, injected } = await runPlan(world, plan)
      return { injected, verdict: await judge(world, evidence) }
    })
    if (!tell({ ...plan, ...outcome }, { options, nodes, totals }) && !options.keepGoing) return
  }
}

async function tortureByName(options: Options, chosen: readonly Scenario[], totals: Totals): Promise<void> {
  const { seed, minutes } = options
  const until = performance.now() + minutes * 60_000
  for (const nodes of [1, 3] as const) {
    const ofCount = chosen.filter((scenario) => (scenario.nodes ?? options.nodes) === nodes)
    await using stage = new Stage(nodes)
    for (const { name, run } of ofCount) {
      if (performance.now() > until) return
      const outcome = await stage.play(async (world) => await run(world, seed))
      if (!tell({ name, seed, profile: '', ...outcome }, { options, nodes, totals }) && !options.keepGoing) return
    }
  }
}

function chooseScenarios({ fault = '', slow }: Options): Scenario[] {
  if (fault === 'all') return scenarios.filter((scenario) => slow || scenario.slow !== true)
  const named = scenarios.filter(({ name, covers }) => name === fault || covers.split(' ').includes(fault))
  if (named.length === 0) throw new Error(`There is no fault ${fault}; --fault list shows their names`)
  return named
}

interface Telling {
  readonly options: Options
  readonly nodes: number
  readonly totals: Totals
}

/** Answers whether all was well. */
function tell(
  report: PlanOutcome & { readonly name: string; readonly seed: number; readonly profile: string },
  { options, nodes, totals }: Telling,
): boolean {
  totals.add(report)
  const isWell = report.verdict.violations.length === 0
  if (!isWell || !options.slice) sayPlan(report)
  if (!isWell) sayFailure(report, nodes)
  return isWell
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The torture cannot go on: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(2)
  },
)
