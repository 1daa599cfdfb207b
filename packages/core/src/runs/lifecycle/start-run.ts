/** Admission: a prompt becomes a run. The client-made run id is the idempotency key (P5). */
import { createHash } from 'node:crypto'
import { requireUsableAttachments } from '../../attachments/require-usable-attachments.ts'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import { AgentId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import { bytesOfPrompt, requirePromptSize, toPlainPrompt, toPromptBlocks } from '../../contract/prompt.ts'
import type { StartRunInput } from '../../contract/run.ts'
import type { Agent } from '../../ports/agent.ts'
import type { StartOutcome } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { checkRunInput } from './check-run-input.ts'
import { requireEditable } from './require-editable.ts'
import { requireFittingPrompt } from './require-fitting-prompt.ts'
import { reportInDoubt } from './resolve-in-doubt-start.ts'

export type Started = StartOutcome & {
  readonly agent: Agent
  readonly isInline: boolean
  readonly startedEvent: RunStartedEvent
}

/**
 * Stores the turn's beginning. `existing` when the same start was made before; the caller drives only a `started` run.
 *
 * @param inlineAgent answers this run; it need not be one of the engine's
 * @throws VerbatimError `AGENT_NOT_FOUND`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`, `ATTACHMENT_NOT_FOUND`, `ATTACHMENT_REFUSED`,
 * `RUN_NOT_FOUND` (`editOf`), `SESSION_BUSY`, `RUN_ID_REUSED`, `UNAVAILABLE`
 */
export async function startRun(
  context: EngineContext,
  owner: Owner,
  { inlineAgent, ...input }: StartRunInput & { inlineAgent?: Agent | undefined },
): Promise<Started> {
  const { ports, options, agents, processId, executor, admission } = context
  requirePromptSize(bytesOfPrompt(input.message), 'message')
  const agent = inlineAgent === undefined ? agentOf(agents, input.agentId) : requireInlineAgent(inlineAgent)
  const isInline = inlineAgent !== undefined
  const given = await checkRunInput(context, { owner, agent }, input)
  await requireEditable(context, owner, input)
  const prompt = toPromptBlocks(input.message)
  await requireFittingPrompt(context, { owner, runId: input.runId, agent }, () => prompt)
  await requireUsableAttachments(context, { owner, runId: input.runId, agent }, prompt)
  const ids = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const run = { runId: input.runId, sessionId: input.sessionId, agentId: agent.id, ...ids }
  const now = ports.clock.now().toISOString()
  const startedEvent: RunStartedEvent = { type: 'run_started', ...run, startedAt: now }
  const { runId, sessionId, agentId, messageId } = run
  const starting = ports.runRepository.startRun(owner, {
    ...run,
    prompt,
    input: given,
    editOf: input.editOf,
    inputHash: hashOf(isInline ? { ...input, agentId: agent.id } : input),
    isInline,
    leaseMs: options.leaseMs,
    startedEvent,
    queuedEvent: { type: 'run_queued', runId, sessionId, agentId, queuedAt: now },
    whenBusy: input.whenBusy ?? 'reject',
    maxQueuedRuns: options.maxQueuedRuns,
    limits: admission.limits.stored,
    processId,
  })
  const inDoubt = { owner, runId, messageId, agent, events: [startedEvent] }
  const outcome = await reportInDoubt(starting, () => executor.resolveInDoubt(inDoubt))
  return { ...outcome, agent, isInline, startedEvent }
}

/** The agent, when its id can be stored. @throws VerbatimError `INVALID_INPUT` */
export function requireInlineAgent(agent: Agent): Agent {
  if (AgentId.safeParse(agent.id).success) return agent
  throw new VerbatimError('INVALID_INPUT', "The agent's id: use 1 to 64 letters, digits or . _ -", {
    data: { field: 'agent.id' },
  })
}

function agentOf(agents: ReadonlyMap<string, Agent>, agentId: string | undefined): Agent {
  const agent = agentId === undefined ? agents.values().next().value : agents.get(agentId)
  if (agent === undefined) throw errorOf('AGENT_NOT_FOUND', { data: { field: 'agentId' } })
  return agent
}

function hashOf({ sessionId, message, agentId, input, editOf }: StartRunInput): string {
  const edited = editOf === undefined ? [] : ['editOf', editOf] // the list is one or two longer, so no input looks like it
  const given = [...(input === undefined ? [] : [input]), ...edited]
  return createHash('sha256')
    .update(JSON.stringify([sessionId, toPlainPrompt(message), agentId ?? null, ...given]))
    .digest('base64url')
}
