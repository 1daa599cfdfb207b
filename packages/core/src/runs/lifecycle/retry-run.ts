/**
 * Runs for the newest answer of a session: another answer to the stored prompt, where it failed or did not please, or the rest of an
 * answer that reached its greatest length. The new run's id is the idempotency key, as at a start (P5).
 */
import { createHash } from 'node:crypto'
import { requireFound, VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import type { MessageId, RunId } from '../../contract/identifiers.ts'
import { cutContinuationPrompt } from '../../contract/interruption.ts'
import type { Owner } from '../../contract/principal.ts'
import type { ContinueRunInput, RetryRunInput, Run } from '../../contract/run.ts'
import type { Agent } from '../../ports/agent.ts'
import type { StartOutcome } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { requireFittingPrompt } from './require-fitting-prompt.ts'
import { reportInDoubt } from './resolve-in-doubt-start.ts'
import { requireInlineAgent } from './start-run.ts'
import type { Started } from './start-run.ts'

interface WithInlineAgent {
  readonly inlineAgent?: Agent | undefined
}

/**
 * Stores the new run; its user message is the retried run's. `existing` when the same retry was made before.
 *
 * @throws VerbatimError `RUN_NOT_FOUND`, `RUN_NOT_RETRYABLE`, `AGENT_NOT_FOUND`, `MESSAGE_TOO_LARGE`, `SESSION_BUSY`, `RUN_ID_REUSED`,
 * `UNAVAILABLE`
 */
export async function retryRun(
  context: EngineContext,
  owner: Owner,
  { runId, newRunId, inlineAgent }: RetryRunInput & WithInlineAgent,
): Promise<Started> {
  const { run: retried, agent } = await findEnded(context, owner, { runId, inlineAgent })
  const { sessionId, userMessageId } = retried
  await requireFittingPrompt(context, { owner, runId: newRunId, agent }, async () => {
    const prompt = await context.ports.sessionRepository.getMessage(owner, sessionId, userMessageId)
    return requireFound(prompt, 'MESSAGE_NOT_FOUND').content
  })
  const again = newRun(context, {
    before: retried,
    newRunId,
    userMessageId,
    agent,
    isInline: inlineAgent !== undefined,
  })
  const storing = context.ports.runRepository.retryRun(owner, {
    ...again,
    retryOf: runId,
    inputHash: hashOf('retry', runId),
  })
  return await report(context, { owner, run: again, agent }, storing)
}

/**
 * Stores a run that goes on where the answer of another one ends; the server's own prompt asks for the rest, because models refuse a
 * conversation that ends with an answer. `existing` when the same was asked before.
 *
 * @throws VerbatimError as {@link retryRun}; `RUN_NOT_RETRYABLE` also for an answer that has no rest
 */
export async function continueAnswer(
  context: EngineContext,
  owner: Owner,
  { runId, newRunId, inlineAgent }: ContinueRunInput & WithInlineAgent,
): Promise<Started> {
  const { run: cut, agent } = await findEnded(context, owner, { runId, inlineAgent })
  // Half an output and the other half are no JSON together.
  if (cut.metrics?.stopReason !== 'max_tokens' || cut.status !== 'completed' || agent.output !== undefined) {
    throw new VerbatimError(
      'RUN_NOT_RETRYABLE',
      'Only an answer in prose that reached its greatest length can be continued',
    )
  }
  const userMessageId = crypto.randomUUID()
  const isInline = inlineAgent !== undefined
  const rest = newRun(context, { before: cut, newRunId, userMessageId, agent, isInline })
  const input =
    agent.input === undefined
      ? undefined
      : (await context.ports.sessionRepository.getMessage(owner, cut.sessionId, cut.userMessageId))?.input
  const storing = context.ports.runRepository.continueAnswer(owner, {
    ...rest,
    continuationOf: runId,
    prompt: [{ type: 'text', text: cutContinuationPrompt }],
    input,
    inputHash: hashOf('continue', runId),
  })
  return await report(context, { owner, run: rest, agent }, storing)
}

async function findEnded(
  { ports, agents }: EngineContext,
  owner: Owner,
  { runId, inlineAgent }: { readonly runId: RunId } & WithInlineAgent,
): Promise<{ run: Run; agent: Agent }> {
  const run = requireFound(await ports.runRepository.getRun(owner, runId), 'RUN_NOT_FOUND')
  requireEnded(run)
  const known = () => requireFound(agents.get(run.agentId), 'AGENT_NOT_FOUND')
  return { run, agent: inlineAgent === undefined ? known() : requireInlineAgent(inlineAgent) }
}

function requireEnded({ id, status }: Run): void {
  switch (status) {
    case 'completed':
    case 'refused':
    case 'failed':
    case 'cancelled':
    case 'interrupted':
      return
    default:
      throw new VerbatimError('SESSION_BUSY', 'The run is not over; follow it or cancel it', {
        data: { activeRunId: id },
      })
  }
}

interface NewRunParts {
  readonly before: Run
  readonly newRunId: RunId
  readonly userMessageId: MessageId
  readonly agent: Agent
  readonly isInline: boolean
}

/** What both kinds of such runs have. */
function newRun(
  { ports, options, processId, admission }: EngineContext,
  { before, newRunId, userMessageId, agent, isInline }: NewRunParts,
) {
  const ids = { userMessageId, messageId: crypto.randomUUID() }
  const run = { runId: newRunId, sessionId: before.sessionId, agentId: agent.id, ...ids }
  const startedEvent: RunStartedEvent = { type: 'run_started', ...run, startedAt: ports.clock.now().toISOString() }
  return { ...run, isInline, processId, leaseMs: options.leaseMs, startedEvent, limits: admission.limits.stored }
}

async function report(
  { executor }: EngineContext,
  { owner, run, agent }: { owner: Owner; run: ReturnType<typeof newRun>; agent: Agent },
  storing: Promise<StartOutcome>,
): Promise<Started> {
  const { runId, messageId, startedEvent, isInline } = run
  const inDoubt = { owner, runId, messageId, agent, events: [startedEvent] }
  const outcome = await reportInDoubt(storing, () => executor.resolveInDoubt(inDoubt))
  return { ...outcome, agent, isInline, startedEvent }
}

function hashOf(kind: 'retry' | 'continue', runId: RunId): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, runId]))
    .digest('base64url')
}
