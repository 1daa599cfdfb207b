/**
 * Recovery: a run whose lease lapsed (its process died, hung or was cut off) is taken over and ended, so that every run ends (P3).
 * The takeover raises the fence; the terminal event at the next seq shuts the log to a zombie that wakes up later (P5).
 * Where the agent says so, the transaction that ends it also starts a run that goes on from it.
 */
import { raceSignal } from '../async/race-signal.ts'
import { sleep } from '../async/sleep.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { WireError } from '../contract/errors.ts'
import type { RunEvent, TerminalEvent } from '../contract/event.ts'
import type { Agent } from '../ports/agent.ts'
import type { Logger } from '../ports/logger.ts'
import type { ClaimedRun, OwnedRun, RenewedLease, RunEnd, RunRepository } from '../ports/run-repository.ts'
import { planContinuation } from './continue-run.ts'
import type { Continuation, ContinueDeps } from './continue-run.ts'
import { terminalEvent } from './drive-run.ts'
import { replayRun } from './replay-run.ts'
import type { Replayed, ReplayDeps } from './replay-run.ts'
import type { RunTails } from './run-tail.ts'
import type { Turns } from './turns.ts'

export interface RecoveryDeps extends ReplayDeps, ContinueDeps {
  readonly runRepository: RunRepository
  readonly tails: RunTails
  readonly logger: Logger
  /** Between two looks for lapsed leases, in milliseconds. */
  readonly recoveryMs: number
  /** Called with a run that goes on from a lost one and is stored: it is this process's to drive. */
  readonly onContinued: (started: { owned: OwnedRun; agent: Agent; events: readonly RunEvent[] }) => Promise<void>
  readonly turns: Turns
}

/** Looks for lapsed runs until `signal` aborts; never rejects. */
export async function recoverRuns(deps: RecoveryDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      while (!signal.aborted && (await recoverOne(deps, signal))) continue
    } catch {
      if (signal.aborted) return
      deps.logger.warn({}, 'Recovery could not reach the database; trying again')
    }
    await sleep(deps.recoveryMs, signal).catch(() => {}) // an abort ends the loop
  }
}

/** Takes over and ends at most one lapsed run; answers whether there was one. */
async function recoverOne(deps: RecoveryDeps, signal: AbortSignal): Promise<boolean> {
  const lease = { processId: deps.processId, leaseMs: deps.leaseMs }
  const claiming = deps.runRepository.claimLapsedRun(lease)
  let claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  if (claimed === undefined) return false
  // A zombie may append until the terminal event is in: each time it does, the end moves behind what it wrote.
  while ((await endLostRun(deps, claimed, signal)) === 'fenced') {
    const [renewed]: RenewedLease[] = await raceSignal(deps.runRepository.renewLeases([claimed], lease), signal)
    if (renewed === undefined) break // it has ended, or is another process's
    claimed = { ...claimed, cancelRequested: renewed.cancelRequested }
  }
  deps.logger.info({ runId: claimed.run.id, fence: claimed.fence }, 'A run whose process was lost has been ended')
  return true
}

async function endLostRun(deps: RecoveryDeps, claimed: ClaimedRun, signal: AbortSignal): Promise<'stored' | 'fenced'> {
  const replayed = await replayRun(deps, claimed, signal)
  const plan: Continuation = claimed.cancelRequested
    ? { type: 'stay' }
    : planContinuation(deps, { owned: claimed, ...replayed })
  const end = toEnd(claimed, replayed, plan)
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(deps.leaseMs)]) }
  if (plan.type === 'stay') {
    const outcome = await deps.runRepository.finishRun(claimed, end, { offer: deps.turns.offer(), ...options })
    if (outcome.type === 'fenced') return 'fenced'
    deps.tails.hint(claimed.key)
    deps.turns.begin(outcome.next)
    if (plan.reason !== undefined) {
      deps.logger.warn({ runId: claimed.run.id, reason: plan.reason }, 'A lost run is not continued')
    }
    return 'stored'
  }
  const { next, agent } = plan
  const owned = await deps.runRepository.continueRun(claimed, end, { next, ...options })
  if (owned === 'fenced') return 'fenced'
  await deps.onContinued({ owned, agent, events: [next.startedEvent] })
  deps.tails.hint(claimed.key)
  return 'stored'
}

function toEnd({ run, cancelRequested }: ClaimedRun, replayed: Replayed, plan: Continuation): RunEnd {
  const { answer, metrics, settled } = replayed
  const end = { messageId: run.messageId, metrics }
  const common = {
    seq: answer.lastSeq + 1,
    batchId: crypto.randomUUID(),
    before: settled,
    content: answer.content,
    metrics,
  }
  if (cancelRequested) {
    const event = terminalEvent({ status: 'cancelled', error: null }, end)
    return { ...common, status: 'cancelled', event, error: null }
  }
  const error = lostError(plan)
  const continuedBy = plan.type === 'go' ? { continuedBy: plan.next.runId } : {}
  const event: TerminalEvent = { type: 'run_interrupted', ...end, error, ...continuedBy }
  return { ...common, status: 'interrupted', event, error }
}

function lostError(plan: Continuation): WireError {
  const kind = plan.type === 'stay' && plan.reason !== undefined ? { data: { kind: plan.reason } } : {}
  const message = 'The process that made this answer was lost; the part that was stored is kept'
  return new VerbatimError('RUN_FENCED', message, kind).toWire()
}
