/** The parts of a command of the log's model: its step, its run, and its report. */
import { isVerbatimError } from '@verbatim/core'
import fc from 'fast-check'
import type { Model, ModelHolder, ModelRun } from './log-model.ts'
import { agentId, longMs } from './log-world.ts'
import type { World } from './log-world.ts'

/** What the commands did, reported at the end: a model that reaches no state finds nothing. */
export const tally = new Map<string, number>()

export function count(what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1)
}

export interface Step<TInput> {
  readonly input: fc.Arbitrary<TInput>
  readonly isPossible: (model: Readonly<Model>, input: TInput) => boolean
  /** Answers the runs it was about. */
  readonly run: (model: Model, world: World, input: TInput) => Promise<ModelRun[]>
}

export const nth = fc.nat({ max: 59 })
export const processIds = fc.constantFrom('process-0', 'process-1', 'process-2')
/** Who ends a run: one that drives the next, or one that is stopping. */
export const holderOf = fc.record({
  processId: processIds,
  leaseMs: fc.constant(longMs),
  agentIds: fc.constantFrom<string[]>([agentId], []),
})

export function usually<TUsual, TOther>(usual: TUsual, other: fc.Arbitrary<TOther>): fc.Arbitrary<TUsual | TOther> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
}

export function pick<TItem>(items: readonly TItem[], at: number): TItem {
  const item = items[at % items.length]
  if (item === undefined) throw new Error('Nothing to pick from')
  return item
}

/** Which run a command is about: mostly one that is running, because most of what can go wrong does so there. */
export interface Target {
  readonly at: number
  readonly isAny: boolean
}

export const target: fc.Arbitrary<Target> = fc.record({ at: nth, isAny: usually(false, fc.constant(true)) })

export function aim(runs: readonly ModelRun[], { at, isAny }: Target): ModelRun {
  const running = runs.filter((run) => run.status === 'running')
  return pick(isAny || running.length === 0 ? runs : running, at)
}

export function holdersOf(run: ModelRun): ModelHolder[] {
  return [...(run.writer === undefined ? [] : [run.writer]), ...run.takers]
}

export function heldRuns(model: Readonly<Model>): ModelRun[] {
  return model.runs.filter((run) => holdersOf(run).length > 0)
}

/** The answer, or the code of the error: both are expected of a call. */
export async function codeOf<TResult>(call: Promise<TResult>): Promise<TResult | string> {
  try {
    return await call
  } catch (error) {
    if (isVerbatimError(error)) return error.code
    throw error
  }
}
