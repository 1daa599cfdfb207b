/** Retry: another run for a stored prompt, whose answer failed or did not please. The new run's id is the idempotency key, as at a start (P5). */
import { createHash } from 'node:crypto'
import { requireFound, VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RetryRunInput, Run } from '../../contract/run.ts'
import type { Agent } from '../../ports/agent.ts'
import type { EngineContext } from '../engine-context.ts'
import { requireFittingPrompt } from './require-fitting-prompt.ts'
import { reportInDoubt } from './resolve-in-doubt-start.ts'
import { requireInlineAgent } from './start-run.ts'
import type { Started } from './start-run.ts'

/**
 * Stores the new run; its user message is the retried run's. `existing` when the same retry was made before.
 *
 * @throws VerbatimError `RUN_NOT_FOUND`, `RUN_NOT_RETRYABLE`, `AGENT_NOT_FOUND`, `MESSAGE_TOO_LARGE`, `SESSION_BUSY`, `RUN_ID_REUSED`,
 * `UNAVAILABLE`
 */
export async function retryRun(
  context: EngineContext,
  owner: Owner,
  { runId, newRunId, inlineAgent }: RetryRunInput & { inlineAgent?: Agent | undefined },
): Promise<Started> {
  const { ports, options, agents, processId, executor, admission } = context
  const retried = requireFound(await ports.runRepository.getRun(owner, runId), 'RUN_NOT_FOUND')
  requireRetryable(retried)
  const { sessionId, userMessageId, agentId } = retried
  const isInline = inlineAgent !== undefined
  const agent = isInline ? requireInlineAgent(inlineAgent) : requireFound(agents.get(agentId), 'AGENT_NOT_FOUND')
  await requireFittingPrompt(context, { owner, runId: newRunId, agent }, async () => {
    const prompt = await ports.sessionRepository.getMessage(owner, sessionId, userMessageId)
    return requireFound(prompt, 'MESSAGE_NOT_FOUND').content
  })
  const ids = { userMessageId, messageId: crypto.randomUUID() }
  const run = { runId: newRunId, sessionId, agentId: agent.id, ...ids }
  const startedEvent: RunStartedEvent = { type: 'run_started', ...run, startedAt: ports.clock.now().toISOString() }
  const retrying = ports.runRepository.retryRun(owner, {
    ...run,
    retryOf: runId,
    inputHash: hashOf(runId),
    isInline,
    processId,
    leaseMs: options.leaseMs,
    startedEvent,
    limits: admission.limits.stored,
  })
  const { messageId } = run
  const inDoubt = { owner, runId: newRunId, messageId, agent, events: [startedEvent] }
  const outcome = await reportInDoubt(retrying, () => executor.resolveInDoubt(inDoubt))
  return { ...outcome, agent, isInline, startedEvent }
}

function requireRetryable({ id, status }: Run): void {
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

function hashOf(runId: string): string {
  return createHash('sha256')
    .update(JSON.stringify(['retry', runId]))
    .digest('base64url')
}
