/**
 * The turn of a queued run. Whoever ends a run has handed the session on (`finishRun`) and begins the next; a run that nobody
 * has begun in time, because that process died or was stopping, is found here by any other (P3, P5).
 */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { RunStartedEvent } from '../../contract/event.ts'
import type { Agent } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../../ports/logger.ts'
import type { Offer, OwnedRun, RunRepository } from '../../ports/run-repository.ts'
import { reportInDoubt } from '../lifecycle/resolve-in-doubt-start.ts'
import type { InDoubtStart } from '../lifecycle/resolve-in-doubt-start.ts'
import type { StartedRun } from '../lifecycle/started-run.ts'

export interface BeginDeps {
  readonly runRepository: RunRepository
  readonly agents: ReadonlyMap<string, Agent>
  readonly clock: Clock
  readonly leaseMs: number
  /** How long the beginning is tried to be stored before it is left to the next look, in milliseconds. */
  readonly beginMs: number
  /** Told of a beginning that was not confirmed in that time. */
  readonly onInDoubt: (late: InDoubtStart) => void
}

/** Stores the beginning of a run that was offered to this process; undefined when somebody else was first. */
export async function beginQueuedRun(deps: BeginDeps, queued: OwnedRun): Promise<StartedRun | undefined> {
  const { runRepository, clock, leaseMs, beginMs } = deps
  const { id: runId, sessionId, agentId, userMessageId, messageId, createdAt } = queued.run
  const ids = { runId, sessionId, agentId, userMessageId, messageId }
  const event: RunStartedEvent = { type: 'run_started', ...ids, startedAt: clock.now().toISOString() }
  const begin = { event, batchId: crypto.randomUUID(), leaseMs }
  const agent = deps.agents.get(agentId) ?? missingAgent(agentId)
  const events = [{ type: 'run_queued', runId, sessionId, agentId, queuedAt: createdAt } as const, event]
  const beginning = runRepository.beginRun(queued, begin, { signal: AbortSignal.timeout(beginMs) })
  const { owner, fence } = queued
  const owned = await reportInDoubt(beginning, () => deps.onInDoubt({ owner, runId, messageId, fence, agent, events }))
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

export interface ClaimDeps {
  readonly runRepository: RunRepository
  readonly agents: ReadonlyMap<string, Agent>
  readonly clock: Clock
  readonly logger: Logger
  readonly offer: Offer
  /** How long a run of an agent that this process lacks is left to those that have it, in milliseconds. */
  readonly orphanMs: number
  /** Between two looks, in milliseconds. */
  readonly recoveryMs: number
  /** Begins a run that was claimed. */
  readonly begin: (queued: OwnedRun) => Promise<void>
}

/** Looks for queued runs whose turn it is until `signal` aborts; never rejects. */
export async function beginQueuedRuns(deps: ClaimDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      while (!signal.aborted && (await beginOne(deps, signal))) continue
    } catch {
      if (signal.aborted) return
      deps.logger.warn({}, 'Queued runs could not be looked for; trying again')
    }
    await sleep(deps.recoveryMs, signal).catch(() => {}) // an abort ends the loop
  }
}

async function beginOne({ runRepository, agents, ...deps }: ClaimDeps, signal: AbortSignal): Promise<boolean> {
  const claiming = runRepository.claimQueuedRun(deps.offer, { agentIds: [...agents.keys()], orphanMs: deps.orphanMs })
  const claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  if (claimed === undefined) return false
  await raceSignal(deps.begin(claimed), signal)
  return true
}
