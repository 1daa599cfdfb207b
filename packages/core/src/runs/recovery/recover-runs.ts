/**
 * Recovery: a run whose lease lapsed (its process died, hung or was cut off) is taken over and ended, so that every run ends (P3).
 * The takeover raises the fence; the terminal event at the next seq shuts the log to a zombie that wakes up later (P5).
 * Where the agent says so, the transaction that ends it also starts a run that goes on from it.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { WireError } from '../../contract/errors.ts'
import type { RunEvent, TerminalEvent } from '../../contract/event.ts'
import type { Agent } from '../../ports/agent.ts'
import type { Logger } from '../../ports/logger.ts'
import type { ClaimedRun, OwnedRun, RenewedLease, RunEnd, RunRepository } from '../../ports/run-repository.ts'
import { planContinuation } from './continue-run.ts'
import type { Continuation, ContinueDeps } from './continue-run.ts'
import { reasonOf, terminalEvent } from '../lifecycle/drive-run.ts'
import { replayRun } from './replay-run.ts'
import type { Replayed, ReplayDeps } from './replay-run.ts'
import type { RunTails } from '../log/run-tail.ts'
import type { Turns } from '../lifecycle/turns.ts'

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

/** A takeover that does not get on is waited for during this part of a lease; so many can be under way at once. */
const maxTakeovers = 6

/** How long a process that leaves waits for what it has claimed to be given back, in milliseconds. */
const releaseTimeoutMs = 2_000

/** Looks for lapsed runs until `signal` aborts; never rejects. */
export async function recoverRuns(deps: RecoveryDeps, signal: AbortSignal): Promise<void> {
  const takeovers = new Set<Promise<void>>()
  while (!signal.aborted) {
    try {
      while (!signal.aborted && (await recoverOne(deps, takeovers, signal))) continue
    } catch {
      if (signal.aborted) break
      deps.logger.warn({}, 'Recovery could not reach the database; trying again')
    }
    await sleep(deps.recoveryMs, signal).catch(() => {}) // an abort ends the loop
  }
  await Promise.all(takeovers)
}

/** Takes over at most one lapsed run; answers whether there was one. One that takes long goes on beside those behind it. */
async function recoverOne(deps: RecoveryDeps, takeovers: Set<Promise<void>>, signal: AbortSignal): Promise<boolean> {
  const claiming = deps.runRepository.claimExpiredLease(leaseOf(deps))
  let claimed
  try {
    claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  } catch (error) {
    if (signal.aborted) await releaseClaim(deps, claiming)
    throw error
  }
  if (claimed === undefined) return false
  const takeover = takeOver(deps, claimed, signal).finally(() => takeovers.delete(takeover))
  takeovers.add(takeover)
  await raceSignal(takeover, AbortSignal.timeout(deps.leaseMs / maxTakeovers)).catch(() => {}) // it never rejects itself
  return true
}

function leaseOf({ processId, leaseMs }: RecoveryDeps) {
  return { processId, leaseMs }
}

/** Ends the run. One that cannot be ended is left as claimed, so that all others come before it is tried again. Never rejects. */
async function takeOver(deps: RecoveryDeps, claimed: ClaimedRun, signal: AbortSignal): Promise<void> {
  const { logger, leaseMs } = deps
  const { id: runId } = claimed.run
  const either = AbortSignal.any([signal, AbortSignal.timeout(leaseMs)])
  try {
    await raceSignal(endClaimed(deps, claimed, either), either)
    logger.info({ runId, fence: claimed.fence }, 'A run whose process was lost has been ended')
  } catch (error) {
    if (signal.aborted) return await releaseClaim(deps, Promise.resolve(claimed))
    logger.warn(
      { runId, reason: reasonOf(error) },
      'A lost run could not be ended; it is tried again when its lease lapses',
    )
  }
}

/** So that others need not wait for the lease of a process that leaves; where that fails, they do. Never rejects. */
async function releaseClaim(deps: RecoveryDeps, claiming: Promise<ClaimedRun | undefined>): Promise<void> {
  const { runRepository, processId } = deps
  const released = claiming.then(
    async (claimed) => claimed && (await runRepository.releaseLeases([claimed], processId)),
  )
  await raceSignal(released, AbortSignal.timeout(releaseTimeoutMs)).catch(() => {})
}

/** A zombie may append until the terminal event is in: each time it does, the end moves behind what it wrote. */
async function endClaimed(deps: RecoveryDeps, first: ClaimedRun, signal: AbortSignal): Promise<void> {
  let claimed = first
  while ((await endLostRun(deps, claimed, signal)) === 'fenced') {
    const renewing = deps.runRepository.renewLeases([claimed], leaseOf(deps))
    const [renewed]: RenewedLease[] = await raceSignal(renewing, signal)
    if (renewed === undefined) break // it has ended, or is another process's
    claimed = { ...claimed, cancelRequested: renewed.cancelRequested }
  }
}

async function endLostRun(deps: RecoveryDeps, claimed: ClaimedRun, signal: AbortSignal): Promise<'stored' | 'fenced'> {
  const replayed = await replayRun(deps, claimed, signal)
  const plan: Continuation = claimed.cancelRequested
    ? { type: 'stay' }
    : planContinuation(deps, { owned: claimed, ...replayed })
  const end = toEnd(claimed, replayed, plan)
  if (plan.type === 'stay') {
    const outcome = await deps.runRepository.finishRun(claimed, end, { offer: deps.turns.offer(), signal })
    if (outcome.type === 'fenced') return 'fenced'
    deps.tails.hint(claimed.key)
    deps.turns.begin(outcome.next)
    if (plan.reason !== undefined) {
      deps.logger.warn({ runId: claimed.run.id, reason: plan.reason }, 'A lost run is not continued')
    }
    return 'stored'
  }
  const { next, agent } = plan
  const owned = await deps.runRepository.continueRun(claimed, end, { next, signal })
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
