/** What a directed scenario is, and the short way to write one: a plan by hand and what must come of it. */
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
  /** Of the list of faults, F1 to F26; parted by blanks. */
  readonly covers: string
  readonly what: string
  /** Of the replica set. @default what the command says */
  readonly nodes?: 1 | 3
  /** Takes a minute or more: only when it is named, or with `--slow`. */
  readonly slow?: boolean
  /** @param until by `performance.now()`: a scenario of many plans begins none behind it, but for its first */
  readonly run: (world: World, seed: number, until: number) => Promise<Outcome>
}

/** How a scenario's plan differs from the usual one. */
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
  readonly readers?: readonly Partial<ReaderPlan>[]
  /** @default 'streaming' */
  readonly faultsFrom?: Plan['faultsFrom']
  readonly faults?: readonly FaultPlan[]
}

/** What must come of a scenario beside what the checker always asks for; answers what is wrong. */
export type Expectation = (verdict: Verdict, evidence: Evidence) => string[]

const plainReader: ReaderPlan = { type: 'raw', via: 0, joinAfterMs: 0, dropEvery: 0, slowMs: 0 }

/** Every run by one reader at each server and one real client. */
const usualReaders: readonly Partial<ReaderPlan>[] = [{ via: 0 }, { via: 1 }, { via: 1, type: 'sdk' }]

export function sketchPlan(name: string, seed: number, sketch: PlanSketch): Plan {
  const random = createRandom(`${name}/${seed}`)
  const sessions = Array.from({ length: sketch.sessions ?? 3 }, () => sketchSession(seed, random, sketch))
  const { profile = 'short', graceMs = 300, faultsFrom = 'streaming', faults = [] } = sketch
  return { name, seed, profile, graceMs, sessions, faultsFrom, faults }
}

function sketchSession(seed: number, random: Random, sketch: PlanSketch): SessionPlan {
  const readers = (sketch.readers ?? usualReaders).map((reader) => ({ ...plainReader, ...reader }))
  const turns = Array.from({ length: sketch.turns ?? 1 }, (): TurnPlan => {
    const prompt = { seed, runId: random.uuid(), tokens: 60, paceMs: 20, fault: 'none' as const, ...sketch.prompt }
    const usual = {
      agentId: 'seeded',
      start: 'repeated',
      whenBusy: 'reject',
      delayMs: 0,
      via: 0,
      hangUpAfterMs: 0,
      cancel: null,
      retryId: null,
    } as const
    return { ...usual, ...sketch.turn, prompt, readers }
  })
  return { sessionId: `d-${random.uuid()}`, turns, overlaps: sketch.overlaps ?? false }
}

/** Runs a sketched plan and asks the checker, and `expected` where it is given. */
export async function runSketch(world: World, plan: Plan, expected: Expectation = () => []): Promise<Outcome> {
  const { evidence, injected } = await runPlan(world, plan)
  await world.startServers() // one that crashes by itself may have done so behind the healing
  const verdict = await checkPlan(world, evidence)
  return { injected, verdict: { ...verdict, violations: [...verdict.violations, ...expected(verdict, evidence)] } }
}

/** A scenario that is no more than a plan. */
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

/** Runs that were interrupted on a machine that was too slow for their leases: how they would have ended is not known. */
export function excused({ ends }: Verdict, { wasSlow }: Evidence): number {
  return wasSlow ? (ends['interrupted'] ?? 0) : 0
}

/** Every run of the plan completed, whatever was done to it. */
export const allComplete: Expectation = (verdict, evidence) => {
  const { ends } = verdict
  return (ends['completed'] ?? 0) + excused(verdict, evidence) === evidence.runs.length
    ? []
    : [`not all of ${evidence.runs.length} runs completed: ${JSON.stringify(ends)}`]
}

/** At least one run was interrupted: otherwise the scenario did not do what it says. */
export const someInterrupted: Expectation = ({ ends }) =>
  (ends['interrupted'] ?? 0) > 0 ? [] : [`no run was interrupted: ${JSON.stringify(ends)}`]

/**
 * Every run was lost, and what went on from it completed. On a machine that was too slow that may have been lost in turn, and
 * rightly not gone on from when it was whole: the checker has seen to it that it was.
 */
export const allContinued: Expectation = (verdict, evidence) => {
  const { ends } = verdict
  const { length } = evidence.runs
  return (ends['continued'] ?? 0) >= length && (ends['completed'] ?? 0) + excused(verdict, evidence) === length
    ? []
    : [`not every run was continued, and completed: ${JSON.stringify(ends)}`]
}

/** Several outcomes as one. */
export function merge(outcomes: readonly Outcome[]): Outcome {
  const injected = new Map<string, number>()
  const ends: Record<string, number> = {}
  for (const outcome of outcomes) {
    for (const [kind, count] of outcome.injected) injected.set(kind, (injected.get(kind) ?? 0) + count)
    for (const [end, count] of Object.entries(outcome.verdict.ends)) ends[end] = (ends[end] ?? 0) + count
  }
  return {
    injected,
    verdict: {
      violations: outcomes.flatMap(({ verdict }) => verdict.violations),
      runs: outcomes.reduce((sum, { verdict }) => sum + verdict.runs, 0),
      events: outcomes.reduce((sum, { verdict }) => sum + verdict.events, 0),
      ends,
      slowMs: outcomes.reduce((sum, { verdict }) => sum + (verdict.slowMs ?? 0), 0),
      wasSlow: outcomes.some(({ verdict }) => verdict.wasSlow === true),
    },
  }
}
