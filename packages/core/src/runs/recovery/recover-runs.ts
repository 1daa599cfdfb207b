/**
 * Recovery: a run whose lease lapsed (its process died, hung or was cut off) is taken over and ended, so that every run ends (P3).
 * The takeover raises the fence; the terminal event at the next seq shuts the log to a zombie that wakes up later (P5).
 * Where the agent says so, the transaction that ends it also starts a run that goes on from it.
 */
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import { reasonOf, VerbatimError } from '../../contract/errors.ts'
import type { WireError } from '../../contract/errors.ts'
import type { TerminalEvent } from '../../contract/event.ts'
import type { ClaimedRun, RenewedLease, RunEnd } from '../../ports/run-repository.ts'
import { releaseTimeoutMs } from '../engine-context.ts'
import type { EngineContext } from '../engine-context.ts'
import { planContinuation } from './continue-run.ts'
import type { Continuation } from './continue-run.ts'
import { terminalEvent } from '../lifecycle/drive-run.ts'
import { replayRun } from './replay-run.ts'
import type { Replayed } from './replay-run.ts'

/** A takeover that does not get on is waited for during this part of a lease; so many can be under way at once. */
const maxTakeovers = 6

/** Looks for lapsed runs until `signal` aborts; never rejects. */
export async function recoverRuns(context: EngineContext, signal: AbortSignal): Promise<void> {
  const takeovers = new Set<Promise<void>>()
  const { logger } = context.ports
  const step = async () => ((await recoverOne(context, takeovers, signal)) ? 0 : undefined)
  await poll(step, { pauseMs: context.options.recoveryMs, signal, logger, name: 'Recovery' })
  await Promise.all(takeovers)
}

/** Takes over at most one lapsed run; answers whether there was one. One that takes long goes on beside those behind it. */
async function recoverOne(
  context: EngineContext,
  takeovers: Set<Promise<void>>,
  signal: AbortSignal,
): Promise<boolean> {
  const claiming = context.ports.runRepository.claimExpiredLease(leaseOf(context))
  let claimed
  try {
    claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  } catch (error) {
    if (signal.aborted) await releaseClaim(context, claiming)
    throw error
  }
  if (claimed === undefined) return false
  const takeover = takeOver(context, claimed, signal).finally(() => takeovers.delete(takeover))
  takeovers.add(takeover)
  await raceSignal(takeover, AbortSignal.timeout(context.options.leaseMs / maxTakeovers)).catch(() => {}) // it never rejects itself
  return true
}

function leaseOf({ processId, options }: EngineContext) {
  return { processId, leaseMs: options.leaseMs }
}

/** Ends the run. One that cannot be ended is left as claimed, so that all others come before it is tried again. Never rejects. */
async function takeOver(context: EngineContext, claimed: ClaimedRun, signal: AbortSignal): Promise<void> {
  const { logger } = context.ports
  const { id: runId } = claimed.run
  const either = AbortSignal.any([signal, AbortSignal.timeout(context.options.leaseMs)])
  try {
    await raceSignal(endClaimed(context, claimed, either), either)
    logger.info({ runId, fence: claimed.fence }, 'A run whose process was lost has been ended')
  } catch (error) {
    if (signal.aborted) return await releaseClaim(context, Promise.resolve(claimed))
    logger.warn(
      { runId, reason: reasonOf(error) },
      'A lost run could not be ended; it is tried again when its lease lapses',
    )
  }
}

/** So that others need not wait for the lease of a process that leaves; where that fails, they do. Never rejects. */
async function releaseClaim(context: EngineContext, claiming: Promise<ClaimedRun | undefined>): Promise<void> {
  const { ports, processId } = context
  const released = claiming.then(
    async (claimed) => claimed && (await ports.runRepository.releaseLeases([claimed], processId)),
  )
  await raceSignal(released, AbortSignal.timeout(releaseTimeoutMs)).catch(() => {})
}

/** A zombie may append until the terminal event is in: each time it does, the end moves behind what it wrote. */
async function endClaimed(context: EngineContext, first: ClaimedRun, signal: AbortSignal): Promise<void> {
  let claimed = first
  while ((await endLostRun(context, claimed, signal)) === 'fenced') {
    const renewing = context.ports.runRepository.renewLeases([claimed], leaseOf(context))
    const [renewed]: RenewedLease[] = await raceSignal(renewing, signal)
    if (renewed === undefined) break // it has ended, or is another process's
    claimed = { ...claimed, cancelRequested: renewed.cancelRequested }
  }
}

async function endLostRun(
  context: EngineContext,
  claimed: ClaimedRun,
  signal: AbortSignal,
): Promise<'stored' | 'fenced'> {
  const replayed = await replayRun(context, claimed, signal)
  const plan: Continuation = claimed.cancelRequested
    ? { type: 'stay' }
    : planContinuation(context, { owned: claimed, ...replayed })
  const end = toEnd(claimed, replayed, plan)
  if (plan.type === 'stay') {
    const outcome = await context.ports.runRepository.finishRun(claimed, end, {
      offer: context.executor.offer(),
      signal,
    })
    if (outcome.type === 'fenced') return 'fenced'
    context.tails.hint(claimed.key)
    context.executor.beginNext(outcome.next)
    if (plan.reason !== undefined) {
      context.ports.logger.warn({ runId: claimed.run.id, reason: plan.reason }, 'A lost run is not continued')
    }
    return 'stored'
  }
  const { next, agent } = plan
  const owned = await context.ports.runRepository.continueRun(claimed, end, { next, signal })
  if (owned === 'fenced') return 'fenced'
  await context.executor.driveOrRelease({ owned, agent, events: [next.startedEvent] })
  context.tails.hint(claimed.key)
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
