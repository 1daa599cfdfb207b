/** Every directed scenario, in the order of `--fault all`. */
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

/** The faults of the list that no scenario covers. */
export function faultsWithoutScenario(): string[] {
  const covered = new Set(scenarios.flatMap(({ covers }) => covers.split(' ')))
  return Array.from({ length: 27 }, (_, at) => `F${at + 1}`).filter((fault) => !covered.has(fault))
}
