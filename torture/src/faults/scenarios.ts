/** Every directed scenario, in the order in which `--fault all` runs them. */
import { clientFaults } from './client-faults.ts'
import { deletionFaults } from './deletion-faults.ts'
import { historyFaults } from './history-faults.ts'
import { mongoFaults } from './mongo-faults.ts'
import type { Scenario } from './scenario.ts'
import { serverFaults } from './server-faults.ts'
import { toolFaults } from './tool-faults.ts'

export const scenarios: readonly Scenario[] = [
  ...serverFaults,
  ...mongoFaults,
  ...clientFaults,
  ...toolFaults,
  ...historyFaults,
  ...deletionFaults,
]

/** F1 to F26. */
const faultCount = 26

/** The faults of the list for which nothing here is meant. */
export function faultsWithoutScenario(): string[] {
  const covered = new Set(scenarios.flatMap(({ covers }) => covers.split(' ')))
  const all = Array.from({ length: faultCount }, (_, at) => `F${at + 1}`)
  return all.filter((fault) => !covered.has(fault))
}
