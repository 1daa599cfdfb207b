/** Every directed scenario, in the order in which `--fault all` runs them. */
import { clientFaults } from './client-faults.ts'
import { deletionFaults } from './deletion-faults.ts'
import { mongoFaults } from './mongo-faults.ts'
import type { Scenario } from './scenario.ts'
import { serverFaults } from './server-faults.ts'

export const scenarios: readonly Scenario[] = [...serverFaults, ...mongoFaults, ...clientFaults, ...deletionFaults]
