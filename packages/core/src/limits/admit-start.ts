/** The limits and budgets of a start or a retry. A run that is stored already is not refused, and not charged again: a retry is safe. */
import { isVerbatimError } from '../contract/errors.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { RunRepository } from '../ports/run-repository.ts'
import type { Budgets } from './budgets.ts'
import type { Limits } from './limits.ts'
import type { LoadGauge } from './load-gauge.ts'

export interface Admission {
  readonly limits: Limits
  readonly load: LoadGauge
  /** Undefined when there are none. */
  readonly budgets: Budgets | undefined
  readonly runRepository: RunRepository
  /** When to stop trying to reach the ledger; asked for each time. */
  readonly deadline: () => AbortSignal
}

export interface AdmittedStart {
  readonly owner: Owner
  readonly runId: RunId
  /** Of the prompt; 0 when it is stored already. */
  readonly bytes: number
}

/**
 * Stores a run when its owner may start one.
 *
 * @throws VerbatimError `OVERLOADED`, `RATE_LIMITED`, `BUDGET_EXCEEDED` before `store` is called; what `store` throws
 */
export async function admitStart<TStarted extends { readonly type: string }>(
  admission: Admission,
  start: AdmittedStart,
  store: () => Promise<TStarted>,
): Promise<TStarted> {
  // Before the database is asked for anything: a run that is stored already goes on, whatever its repeated start receives.
  const starting = admission.load.enter(start.owner)
  let place: Place | undefined
  try {
    place = await takePlace(admission, start)
    const started = await store()
    starting.stored()
    if (started.type === 'existing') place?.refund()
    return started
  } finally {
    place?.end()
    starting.leave()
  }
}

interface Place {
  refund(): void
  end(): void
}

/** Undefined for a run that is stored already. */
async function takePlace(
  { limits, budgets, runRepository, deadline }: Admission,
  { owner, runId, bytes }: AdmittedStart,
): Promise<Place | undefined> {
  let refund = () => {}
  let end = () => {}
  try {
    refund = limits.take(owner, { starts: 1, bytes })
    end = limits.beginRun()
    await budgets?.requireBudget(owner, { deadline: deadline() })
    return { refund, end }
  } catch (error) {
    refund()
    end()
    if (!isRefusal(error) || (await runRepository.getRun(owner, runId)) === undefined) throw error
    return undefined
  }
}

function isRefusal(error: unknown): boolean {
  return isVerbatimError(error) && (error.code === 'RATE_LIMITED' || error.code === 'BUDGET_EXCEEDED')
}
