/** Admission: a prompt becomes a run. The client-made run id is the idempotency key (P5). */
import { createHash } from 'node:crypto'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import type { Owner } from '../../contract/principal.ts'
import { maxPromptBytes } from '../../contract/prompt.ts'
import type { StartRunInput } from '../../contract/run.ts'
import type { Agent } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import { firstFence } from '../../ports/run-repository.ts'
import type { Offer, RunRepository, StartOutcome } from '../../ports/run-repository.ts'
import { reportInDoubt } from './resolve-in-doubt-start.ts'
import type { InDoubtStart } from './resolve-in-doubt-start.ts'

export interface StartDeps {
  readonly runRepository: RunRepository
  readonly agents: ReadonlyMap<string, Agent>
  readonly clock: Clock
  readonly leaseMs: number
  /** How many runs may wait in one session. */
  readonly maxQueuedRuns: number
  readonly offer: Offer
  /** Told of a run that the database did not confirm in time. */
  readonly onInDoubt: (late: InDoubtStart) => void
}

export type Started = StartOutcome & { readonly agent: Agent; readonly startedEvent: RunStartedEvent }

/**
 * Stores the turn's beginning. `existing` when the same start was made before; the caller drives only a `started` run, and a
 * `queued` one not before its turn.
 *
 * @throws VerbatimError `AGENT_NOT_FOUND`, `MESSAGE_TOO_LARGE`, `SESSION_BUSY`, `RUN_ID_REUSED`, `UNAVAILABLE`
 */
export async function startRun(deps: StartDeps, owner: Owner, input: StartRunInput): Promise<Started> {
  requirePromptSize(input.message)
  const agent = agentOf(deps.agents, input.agentId)
  const ids = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const run = { runId: input.runId, sessionId: input.sessionId, agentId: agent.id, ...ids }
  const now = deps.clock.now().toISOString()
  const startedEvent: RunStartedEvent = { type: 'run_started', ...run, startedAt: now }
  const { runId, sessionId, agentId, messageId } = run
  const starting = deps.runRepository.startRun(owner, {
    ...run,
    prompt: [{ type: 'text', text: input.message }],
    inputHash: hashOf(input),
    leaseMs: deps.leaseMs,
    startedEvent,
    queuedEvent: { type: 'run_queued', runId, sessionId, agentId, queuedAt: now },
    whenBusy: input.whenBusy ?? 'reject',
    maxQueuedRuns: deps.maxQueuedRuns,
    offer: deps.offer,
  })
  const late = { owner, runId, messageId, fence: firstFence, agent, events: [startedEvent] }
  const outcome = await reportInDoubt(starting, () => deps.onInDoubt(late))
  return { ...outcome, agent, startedEvent }
}

function requirePromptSize(message: string): void {
  if (Buffer.byteLength(message) <= maxPromptBytes) return
  throw new VerbatimError('MESSAGE_TOO_LARGE', `The prompt is over ${maxPromptBytes} bytes; shorten it`, {
    data: { maxBytes: maxPromptBytes, field: 'message' },
  })
}

function agentOf(agents: ReadonlyMap<string, Agent>, agentId: string | undefined): Agent {
  const agent = agentId === undefined ? agents.values().next().value : agents.get(agentId)
  if (agent === undefined) throw new VerbatimError('AGENT_NOT_FOUND', undefined, { data: { field: 'agentId' } })
  return agent
}

function hashOf({ sessionId, message, agentId }: StartRunInput): string {
  return createHash('sha256')
    .update(JSON.stringify([sessionId, message, agentId ?? null]))
    .digest('base64url')
}
