/**
 * Recovery: a process takes over a run whose lease has expired (its process died, hung or was cut off), so that every run ends (P3).
 * The takeover raises the fence. A run that has only begun is driven, after `run_resumed`; any other is ended, and continued by a
 * linked run where its agent says so. Both events take the seq at which a zombie would go on, and so shut it out (P5).
 */
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { errorOf, isUnavailable, isVerbatimError, reasonOf, VerbatimError } from '../../contract/errors.ts'
import type { WireError } from '../../contract/errors.ts'
import type { RunEvent, TerminalEvent } from '../../contract/event.ts'
import { noMetrics } from '../../contract/metrics.ts'
import type { Agent } from '../../ports/agent.ts'
import type { ClaimedRun, RenewedLease, RunEnd } from '../../ports/run-repository.ts'
import { releaseTimeoutMs } from '../engine-context.ts'
import type { EngineContext } from '../engine-context.ts'
import { planContinuation } from './continue-run.ts'
import type { Continuation } from './continue-run.ts'
import { checkOutput } from '../lifecycle/check-output.ts'
import { terminalEvent } from '../lifecycle/drive-run.ts'
import { storeEnd } from '../lifecycle/store-end.ts'
import { replayRun } from './replay-run.ts'
import type { Replayed } from './replay-run.ts'

/** A takeover that does not get on is waited for during this part of a lease; so many can be under way at once. */
const maxTakeovers = 6

/** How often a run is driven again that is lost before its first event: one that takes its process down ends. */
const maxResumptions = 3

/** Looks for expired leases until `signal` aborts; never rejects. */
export async function recoverRuns(context: EngineContext, signal: AbortSignal): Promise<void> {
  const takeovers = new Set<Promise<void>>()
  const { logger } = context.ports
  const step = async () => ((await recoverOne(context, takeovers, signal)) ? 0 : undefined)
  await poll(step, { pauseMs: context.options.recoveryMs, signal, logger, name: 'Recovery' })
  await Promise.all(takeovers)
}

/** Takes over at most one lost run; answers whether there was one. One that takes long goes on beside those after it. */
async function recoverOne(
  context: EngineContext,
  takeovers: Set<Promise<void>>,
  signal: AbortSignal,
): Promise<boolean> {
  const claiming = context.ports.runRepository.claimExpiredLease(context.executor.holder())
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

/** Recovers the run. One that cannot be recovered is left as claimed, so that all others come before it is tried again. Never rejects. */
async function takeOver(context: EngineContext, claimed: ClaimedRun, signal: AbortSignal): Promise<void> {
  const { logger } = context.ports
  const { id: runId } = claimed.run
  const either = AbortSignal.any([signal, AbortSignal.timeout(context.options.leaseMs)])
  try {
    await raceSignal(endClaimed(context, claimed, either), either)
    logger.info({ runId, fence: claimed.fence }, 'A run whose process was lost has been recovered')
  } catch (error) {
    if (signal.aborted) return await releaseClaim(context, Promise.resolve(claimed))
    logger.warn(
      { runId, reason: reasonOf(error) },
      'A lost run could not be recovered; it is tried again when its lease expires',
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

/** A zombie may append until the taker's event is in: each time it does, that event moves after what it wrote. */
async function endClaimed(context: EngineContext, first: ClaimedRun, signal: AbortSignal): Promise<void> {
  let claimed = first
  while ((await recoverLostRun(context, claimed, signal)) === 'fenced') {
    const renewing = context.ports.runRepository.renewLeases([claimed], leaseOf(context))
    const [renewed]: RenewedLease[] = await raceSignal(renewing, signal)
    if (renewed === undefined) break // it has ended, or is another process's
    claimed = { ...claimed, cancelRequested: renewed.cancelRequested }
  }
}

async function recoverLostRun(
  context: EngineContext,
  claimed: ClaimedRun,
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const replayed = await replayRun(context, claimed, signal).catch(toUnreadable)
  if (isVerbatimError(replayed)) return await endUnreadable(context, { claimed, error: replayed }, signal)
  const { beginning } = replayed
  const attempt = 1 + (beginning ?? []).filter((event) => event.type === 'run_resumed').length
  const isResumable = !claimed.cancelRequested && !claimed.isInline && attempt <= maxResumptions
  if (beginning !== undefined && isResumable) {
    try {
      return await resumeRun(context, claimed, { beginning, attempt, signal })
    } catch (error) {
      if (isUnavailable(error) || signal.aborted) throw error // else the log refuses the entry, and the run ends without it
    }
  }
  return await endLostRun(context, claimed, { replayed, signal })
}

function toUnreadable(error: unknown): VerbatimError {
  if (isVerbatimError(error) && error.code === 'CONTENT_UNREADABLE') return error
  throw error
}

/** A run whose log cannot be decrypted any more ends too, without content. */
async function endUnreadable(
  context: EngineContext,
  { claimed, error }: { claimed: ClaimedRun; error: VerbatimError },
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const lastSeq = await context.ports.eventLog.lastSeq(claimed.key, { signal })
  const { messageId } = claimed.run
  const ending = claimed.cancelRequested
    ? ({ status: 'cancelled', error: null } as const)
    : ({ status: 'failed', error: error.toWire() } as const)
  const end: RunEnd = {
    ...ending,
    seq: lastSeq + 1,
    batchId: crypto.randomUUID(),
    event: terminalEvent(ending, { messageId, metrics: noMetrics }),
    content: [],
    metrics: noMetrics,
  }
  context.ports.logger.warn({ runId: claimed.run.id, kind: error.data.kind }, 'A lost run ends without content')
  return await endLost(context, { claimed, end }, signal)
}

/**
 * Drives a run of which only the beginning is stored: its agent is asked again. `run_resumed` takes the seq that the lost process
 * would write next, so a process that is only slow stops there.
 */
async function resumeRun(
  context: EngineContext,
  claimed: ClaimedRun,
  { beginning, attempt, signal }: { beginning: readonly RunEvent[]; attempt: number; signal: AbortSignal },
): Promise<'done' | 'fenced'> {
  const { ports, agents, liveRuns, executor } = context
  const { key, run } = claimed
  // This process may drive the run still, without its lease.
  const live = liveRuns.get(key)
  live?.stop.abort(errorOf('RUN_FENCED'))
  await live?.done
  const event: RunEvent = { type: 'run_resumed', attempt, resumedAt: ports.clock.now().toISOString() }
  const resumption = { seq: beginning.length + 1, batchId: crypto.randomUUID(), event }
  const outcome = await ports.runRepository.resumeRun(claimed, { ...resumption, signal })
  if (outcome === 'fenced') return 'fenced'
  const agent = agents.get(run.agentId) ?? missingAgent(run.agentId)
  await executor.driveOrRelease({ owned: claimed, agent, events: [...beginning, event] })
  return 'done'
}

/** Ends a run that no process of the fleet can answer any more. */
function missingAgent(id: string): Agent {
  return {
    id,
    stream() {
      throw errorOf('AGENT_NOT_FOUND', { data: { field: 'agentId' } })
    },
  }
}

async function endLostRun(
  context: EngineContext,
  claimed: ClaimedRun,
  { replayed, signal }: { replayed: Replayed; signal: AbortSignal },
): Promise<'done' | 'fenced'> {
  const plan = planEnd(context, claimed, replayed)
  if (plan.type === 'go') return await continueLost(context, { claimed, replayed, plan }, signal)
  if (plan.reason !== undefined) {
    context.ports.logger.warn({ runId: claimed.run.id, reason: plan.reason }, 'A lost run is not continued')
  }
  const output = await outputOf(context, claimed, { replayed, signal })
  return await endLost(context, { claimed, end: toEnd(claimed, { ...replayed, output }, plan) }, signal)
}

/** Of an answer that is whole but for its end. */
async function outputOf(
  { agents, options }: EngineContext,
  { run, cancelRequested }: ClaimedRun,
  { replayed, signal }: { replayed: Replayed; signal: AbortSignal },
): Promise<JsonValue | undefined> {
  const { answer, metrics, isWhole } = replayed
  const schema = agents.get(run.agentId)?.output
  if (schema === undefined || !isWhole || cancelRequested) return undefined
  const { stopReason } = metrics
  try {
    return await checkOutput(schema, { answer, stopReason, maxAnswerBytes: options.maxAnswerBytes, signal })
  } catch {
    signal.throwIfAborted()
    return undefined // the run is interrupted, whatever its answer is
  }
}

/** An end that the database refuses is not continued: the linked run would be lost with it. */
async function continueLost(
  context: EngineContext,
  { claimed, replayed, plan }: { claimed: ClaimedRun; replayed: Replayed; plan: Extract<Continuation, { type: 'go' }> },
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const { ports, executor, tails } = context
  const { agent } = plan
  try {
    const end = toEnd(claimed, replayed, plan)
    const next = { ...plan.next, input: await inputOf(context, { claimed, agent }) }
    const owned = await ports.runRepository.continueRun(claimed, end, { next, signal })
    if (owned === 'fenced') return 'fenced'
    await executor.driveOrRelease({ owned, agent, events: [next.startedEvent] })
    tails.hint(claimed.key)
    return 'done'
  } catch (error) {
    const isPassing = isVerbatimError(error) && error.code !== 'CONTENT_UNREADABLE'
    if (isPassing || signal.aborted) throw error
    return await endLost(context, { claimed, end: toEnd(claimed, replayed, { type: 'stay' }) }, signal)
  }
}

/** What the agent received beside the prompt of the lost run. */
async function inputOf(
  { ports }: EngineContext,
  { claimed, agent }: { claimed: ClaimedRun; agent: Agent },
): Promise<JsonValue | undefined> {
  if (agent.input === undefined) return undefined
  const { owner, run } = claimed
  return (await ports.sessionRepository.getMessage(owner, run.sessionId, run.userMessageId))?.input
}

async function endLost(
  context: EngineContext,
  { claimed, end }: { claimed: ClaimedRun; end: RunEnd },
  signal: AbortSignal,
): Promise<'done' | 'fenced'> {
  const { outcome } = await storeEnd(context, { owned: claimed, end }, signal)
  if (outcome.type === 'fenced') return 'fenced'
  context.tails.hint(claimed.key)
  context.executor.drivePromoted(outcome.promoted)
  return 'done'
}

/** A cancelled run is not continued, and neither is one that was lost so often before its first event. */
function planEnd(context: EngineContext, claimed: ClaimedRun, replayed: Replayed): Continuation {
  if (claimed.cancelRequested) return { type: 'stay' }
  if (claimed.isInline) return { type: 'stay', reason: 'inline_agent' }
  if (replayed.beginning !== undefined) return { type: 'stay', reason: 'resumptions' }
  return planContinuation(context, { owned: claimed, ...replayed })
}

function toEnd(
  { run, cancelRequested }: ClaimedRun,
  { answer, metrics, settled, output }: Replayed & { readonly output?: JsonValue | undefined },
  plan: Continuation,
): RunEnd {
  const end = { messageId: run.messageId, metrics }
  const outputEvents: RunEvent[] = output === undefined ? [] : [{ type: 'output', output }]
  const common = {
    seq: answer.lastSeq + outputEvents.length + 1,
    batchId: crypto.randomUUID(),
    before: [...settled, ...outputEvents],
    content: answer.content,
    data: answer.data,
    ...(output === undefined ? {} : { output }),
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
  const reason = plan.type === 'stay' ? plan.reason : undefined
  const kind = reason === undefined ? {} : { data: { kind: reason } }
  const message =
    reason === 'inline_agent'
      ? 'The process that made this answer was lost, and with it the agent, which was made for this one run; the part that was stored is kept'
      : 'The process that made this answer was lost; the part that was stored is kept'
  return new VerbatimError('RUN_FENCED', message, kind).toWire()
}
