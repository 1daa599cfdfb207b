import { VerbatimError } from '../contract/errors.ts'
import type { EngineOptions } from '../ports/engine-options.ts'
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import type { Admission } from './admit-start.ts'
import { Budgets, isOn } from './budgets.ts'
import { Limits } from './limits.ts'
import { LoadGauge } from './load-gauge.ts'

/** How long a caller waits for the ledger, as for every other answer of the database, in milliseconds. */
const requestMs = 4_500

/** The limits and budgets of an engine. @throws VerbatimError `INVALID_CONFIGURATION` for budgets without a ledger */
export function openLimits(ports: ResolvedPorts, options: EngineOptions, activeRuns: () => number): Admission {
  const { clock, runRepository } = ports
  return {
    limits: new Limits({ options: options.limits, clock, activeRuns }),
    load: new LoadGauge({ options: options.overload, clock, activeRuns }),
    budgets: openBudgets(ports, options),
    runRepository,
    deadline: () => AbortSignal.timeout(requestMs),
  }
}

function openBudgets({ clock, usageLedger: ledger }: ResolvedPorts, { budgets }: EngineOptions): Budgets | undefined {
  if (!isOn(budgets.principal) && !isOn(budgets.tenant)) return undefined
  if (ledger !== undefined) return new Budgets({ ledger, clock, options: budgets })
  throw new VerbatimError('INVALID_CONFIGURATION', 'budgets: need the port usageLedger')
}
