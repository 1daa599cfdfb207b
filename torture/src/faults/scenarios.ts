import type { Verdict } from '../oracle/judge.ts'
import type { World } from '../world/world.ts'

export interface Scenario {
  readonly name: string
  /** Of the list of faults, F1 to F26. */
  readonly covers: string
  readonly what: string
  /** @default what the command says */
  readonly nodes?: 1 | 3
  readonly run: (world: World, seed: number) => Promise<{ injected: ReadonlyMap<string, number>; verdict: Verdict }>
}

export const scenarios: readonly Scenario[] = []
