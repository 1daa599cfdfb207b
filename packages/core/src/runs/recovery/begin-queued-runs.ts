/**
 * The turn of a queued run. Whoever ends a run has handed the session on (`finishRun`) and begins the next; a run that nobody
 * has begun in time, because that process died or was stopping, is found here by any other (P3, P5).
 */
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import type { Agent } from '../../ports/agent.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { reportInDoubt } from '../lifecycle/resolve-in-doubt-start.ts'
import type { StartedRun } from '../lifecycle/started-run.ts'

/** Stores the beginning of a run that was offered to this process; undefined when somebody else was first. */
export async function beginQueuedRun(context: EngineContext, queued: OwnedRun): Promise<StartedRun | undefined> {
  const { ports, options, agents, executor } = context
  const { id: runId, sessionId, agentId, userMessageId, messageId, createdAt } = queued.run
  const ids = { runId, sessionId, agentId, userMessageId, messageId }
  const event: RunStartedEvent = { type: 'run_started', ...ids, startedAt: ports.clock.now().toISOString() }
  const begin = { event, batchId: crypto.randomUUID(), leaseMs: options.leaseMs }
  const agent = agents.get(agentId) ?? missingAgent(agentId)
  const events = [{ type: 'run_queued', runId, sessionId, agentId, queuedAt: createdAt } as const, event]
  const beginning = ports.runRepository.beginRun(queued, begin, { signal: AbortSignal.timeout(options.selfFenceMs) })
  const { owner, fence } = queued
  const inDoubt = { owner, runId, messageId, fence, agent, events }
  const owned = await reportInDoubt(beginning, () => executor.resolveInDoubt(inDoubt))
  return owned === undefined ? undefined : { owned, agent, events }
}

/** Ends a run that no process of the fleet can answer any more. */
function missingAgent(id: string): Agent {
  return {
    id,
    stream() {
      throw new VerbatimError('AGENT_NOT_FOUND', undefined, { data: { field: 'agentId' } })
    },
  }
}

/** Looks for queued runs whose turn it is until `signal` aborts; never rejects. */
export async function beginQueuedRuns(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { logger } = context.ports
  const step = async () => ((await beginOne(context, signal)) ? 0 : undefined)
  await poll(step, { pauseMs: context.options.recoveryMs, signal, logger, name: 'Dispatching queued runs' })
}

async function beginOne(context: EngineContext, signal: AbortSignal): Promise<boolean> {
  const { ports, options, agents, executor } = context
  const orphans = { agentIds: [...agents.keys()], orphanMs: options.leaseMs }
  const claiming = ports.runRepository.claimQueuedRun(executor.offer(), orphans)
  const claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  if (claimed === undefined) return false
  await raceSignal(executor.begin(claimed), signal)
  return true
}
