/** A directed scenario: a plan written by hand and the result that it expects. */
import { checkPlan } from '../checker/check-plan.ts'
import type { Verdict } from '../checker/check-plan.ts'
import type { Evidence } from '../plan/evidence.ts'
import type { FaultPlan, Plan, ReaderPlan, SessionPlan, TurnPlan } from '../plan/plan.ts'
import { runPlan } from '../plan/run-plan.ts'
import type { Random } from '../random.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world/world.ts'

export interface Outcome {
  /** Faults that were injected, by kind. */
  readonly injected: ReadonlyMap<string, number>
  readonly verdict: Verdict
}

export interface Scenario {
  readonly name: string
  /** The faults of the list, F1 to F27, separated by spaces. */
  readonly covers: string
  readonly what: string
  /** Of the replica set. @default the command's option */
  readonly nodes?: 1 | 3
  /** Takes a minute or more, so it runs only by its name or with `--slow`. */
  readonly slow?: boolean
  /** @param until after this time (by `performance.now()`) a scenario of many plans begins no further one */
  readonly run: (world: World, seed: number, until: number) => Promise<Outcome>
}

/** What a scenario's plan changes in the default one. */
export interface PlanSketch {
  readonly profile?: Plan['profile']
  readonly graceMs?: number
  /** @default 3 */
  readonly sessions?: number
  /** @default 1 */
  readonly turns?: number
  readonly overlaps?: boolean
  readonly turn?: Partial<Omit<TurnPlan, 'prompt'>>
  readonly prompt?: Partial<TurnPlan['prompt']>
  /** Each prompt names an image of its own. @default false */
  readonly hasImages?: boolean
  readonly readers?: readonly Partial<ReaderPlan>[]
  /** @default 'streaming' */
  readonly faultsFrom?: Plan['faultsFrom']
  readonly faults?: readonly FaultPlan[]
  /** @default 0 */
  readonly hostileCalls?: number
}

/** What a scenario expects beyond the checker; returns what is wrong. */
export type Expectation = (verdict: Verdict, evidence: Evidence) => string[]

const plainTurn = {
  agentId: 'seeded',
  start: 'repeated',
  whenBusy: 'reject',
  delayMs: 0,
  via: 0,
  hangUpAfterMs: 0,
  cancel: null,
  retryId: null,
} as const

const plainReader: ReaderPlan = { type: 'raw', via: 0, joinAfterMs: 0, dropEvery: 0, slowMs: 0 }

/** One reader at each server and one real client read every run. */
const usualReaders: readonly Partial<ReaderPlan>[] = [{ via: 0 }, { via: 1 }, { via: 1, type: 'sdk' }]

export function sketchPlan(name: string, seed: number, sketch: PlanSketch): Plan {
  const random = createRandom(`${name}/${seed}`)
  const sessions = Array.from({ length: sketch.sessions ?? 3 }, () => sketchSession(seed, random, sketch))
  const { profile = 'short', graceMs = 300, faultsFrom = 'streaming', faults = [], hostileCalls = 0 } = sketch
  return { name, seed, profile, graceMs, sessions, faultsFrom, faults, hostileCalls }
}

function sketchSession(seed: number, random: Random, sketch: PlanSketch): SessionPlan {
  const readers = (sketch.readers ?? usualReaders).map((reader) => ({ ...plainReader, ...reader }))
  const turns = Array.from({ length: sketch.turns ?? 1 }, (): TurnPlan => {
    const ids = { runId: random.uuid(), imageId: sketch.hasImages === true ? random.uuid() : null }
    const prompt = { seed, ...ids, tokens: 60, paceMs: 20, fault: 'none' as const, ...sketch.prompt }
    return { ...plainTurn, ...sketch.turn, prompt, readers }
  })
  return { sessionId: `d-${random.uuid()}`, turns, overlaps: sketch.overlaps ?? false }
}

/** Runs a plan, and asks the checker and `expected`. */
export async function runSketch(world: World, plan: Plan, expected: Expectation = () => []): Promise<Outcome> {
  const { evidence, injected } = await runPlan(world, plan)
  await world.startServers() // a server that crashes by itself may do so after the healing
  const verdict = await checkPlan(world, evidence)
  return withFound({ injected, verdict }, expected(verdict, evidence))
}

/** Adds violations that the checker cannot know, and what the scenario itself injected. */
export function withFound(
  { injected, verdict }: Outcome,
  found: readonly string[],
  own?: Outcome['injected'],
): Outcome {
  return { injected: own ?? injected, verdict: { ...verdict, violations: [...verdict.violations, ...found] } }
}

/** A scenario that consists of one plan. */
export function planned(
  about: Pick<Scenario, 'name' | 'covers' | 'what'> & { nodes?: 1 | 3 },
  sketch: PlanSketch,
  expected?: Expectation,
): Scenario {
  return {
    ...about,
    run: async (world, seed) => await runSketch(world, sketchPlan(about.name, seed, sketch), expected),
  }
}

/** Interrupted runs on a machine that was too slow for their leases: how they would have ended is unknown. */
export function excused({ ends }: Verdict, { wasSlow }: Evidence): number {
  return wasSlow ? (ends['interrupted'] ?? 0) : 0
}

/** Every run of the plan completed. */
export const allComplete: Expectation = (verdict, evidence) => {
  const { ends } = verdict
  return (ends['completed'] ?? 0) + excused(verdict, evidence) === evidence.runs.length
    ? []
    : [`not all of ${evidence.runs.length} runs completed: ${JSON.stringify(ends)}`]
}

/** At least one run was interrupted, so the scenario did what it says. */
export const someInterrupted: Expectation = ({ ends }) =>
  (ends['interrupted'] ?? 0) > 0 ? [] : [`no run was interrupted: ${JSON.stringify(ends)}`]

/**
 * Every run was lost, and its continuation completed. On a machine that was too slow the continuation may be lost as well; the
 * engine then continues it only if it was not whole, which the checker tests.
 */
export const allContinued: Expectation = (verdict, evidence) => {
  const found = allComplete(verdict, evidence)
  if ((verdict.ends['continued'] ?? 0) < evidence.runs.length) found.push('not every run was continued')
  return found
}

export function merge(outcomes: readonly Outcome[]): Outcome {
  const verdicts = outcomes.map(({ verdict }) => verdict)
  const sum = (of: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + of(verdict), 0)
  return {
    injected: countAll(outcomes.flatMap(({ injected }) => [...injected])),
    verdict: {
      violations: verdicts.flatMap(({ violations }) => violations),
      runs: sum(({ runs }) => runs),
      events: sum(({ events }) => events),
      ends: Object.fromEntries(countAll(verdicts.flatMap(({ ends }) => Object.entries(ends)))),
      slowMs: sum(({ slowMs = 0 }) => slowMs),
      wasSlow: verdicts.some(({ wasSlow }) => wasSlow === true),
    },
  }
}

/** The sum for each name. */
function countAll(counts: readonly (readonly [string, number])[]): Map<string, number> {
  const sums = new Map<string, number>()
  for (const [name, count] of counts) sums.set(name, (sums.get(name) ?? 0) + count)
  return sums
}
