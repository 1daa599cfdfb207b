/** The command: random plans, or directed scenarios, on one world; the exit code tells whether the promises held. */
import { faultsWithoutScenario, scenarios } from './faults/scenarios.ts'
import type { Scenario } from './faults/scenario.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { makePlan } from './plan/make-plan.ts'
import { runPlan } from './plan/run-plan.ts'
import { judge } from './oracle/judge.ts'
import { say, sayFailure, sayPlan, Totals } from './report.ts'
import type { PlanReport } from './report.ts'
import { World } from './world/world.ts'

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
  if (options.fault === undefined) await tortureAtRandom(options, totals)
  else await tortureByName(options, totals)
  totals.say()
  return totals.failures === 0 ? 0 : 1
}

async function tortureAtRandom({ seeds, minutes, seed, nodes, keepGoing }: Options, totals: Totals): Promise<void> {
  const until = performance.now() + minutes * 60_000
  await using world = await World.open(nodes)
  for (let at = 0; at < seeds && performance.now() < until; at++) {
    const plan = makePlan({ seed: seed + at, nodes })
    const report = await timed(async () => {
      const { evidence, injected } = await runPlan(world, plan)
      return { ...plan, injected, verdict: await judge(world, evidence) }
    })
    if (!tell(world, report, totals) && !keepGoing) return
  }
}

async function tortureByName(options: Options, totals: Totals): Promise<void> {
  const chosen = chooseScenarios(options)
  for (const count of [1, 3] as const) {
    const ofCount = chosen.filter((scenario) => (scenario.nodes ?? options.nodes) === count)
    if (ofCount.length === 0) continue
    await using world = await World.open(count)
    for (const scenario of ofCount) {
      const report = await timed(async () => {
        const { name } = scenario
        return { name, seed: options.seed, profile: '', ...(await scenario.run(world, options.seed)) }
      })
      if (!tell(world, report, totals) && !options.keepGoing) return
    }
  }
}

function chooseScenarios({ fault = '', slow }: Options): Scenario[] {
  const named = scenarios.filter(({ name, covers }) => name === fault || covers.split(' ').includes(fault))
  if (fault !== 'all') {
    if (named.length === 0) throw new Error(`There is no fault ${fault}; --fault list shows their names`)
    return named
  }
  return scenarios.filter((scenario) => slow || scenario.slow !== true)
}

async function timed(run: () => Promise<Omit<PlanReport, 'seconds'>>): Promise<PlanReport> {
  const startedAt = performance.now()
  const report = await run()
  return { ...report, seconds: (performance.now() - startedAt) / 1_000 }
}

/** Answers whether all was well. */
function tell(world: World, report: PlanReport, totals: Totals): boolean {
  totals.add(report)
  sayPlan(report)
  if (report.verdict.violations.length === 0) return true
  const logged = world.servers.flatMap((server, index) => server.logged.map((line) => `server ${index}: ${line}`))
  sayFailure(report, world.mongo.nodes, logged)
  return false
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`The torture cannot go on: ${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(2)
  },
)
