/** Every directed scenario, in the order in which `--fault all` runs them. */
import { clientFaults } from './client-faults.ts'
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
]

/** F1 to F26. */
const faultCount = 26
/** Deleting during a stream: its scenario comes with the deletion itself. */
const notYet = ['F25']

/** The faults of the list for which nothing here is meant. */
export function faultsWithoutScenario(): string[] {
  const covered = new Set(scenarios.flatMap(({ covers }) => covers.split(' ')))
  const all = Array.from({ length: faultCount }, (_, at) => `F${at + 1}`)
  return all.filter((fault) => !covered.has(fault) && !notYet.includes(fault))
}
