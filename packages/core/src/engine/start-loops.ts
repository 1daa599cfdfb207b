/** What an engine does by itself while it is open: one loop for each duty, wired here like the rest in create-engine.ts. */
import type { RunEvent } from '../contract/event.ts'
import type { Agent } from '../ports/agent.ts'
import type { OwnedRun } from '../ports/run-repository.ts'
import { archiveRuns } from '../runs/log/archive-runs.ts'
import { beginQueuedRuns } from '../runs/recovery/begin-queued-runs.ts'
import { pollCancelRequests } from '../runs/lifecycle/poll-cancel-requests.ts'
import type { LiveRuns } from '../runs/lifecycle/live-runs.ts'
import { recoverRuns } from '../runs/recovery/recover-runs.ts'
import { renewLeases } from '../runs/lifecycle/renew-leases.ts'
import type { RunTails } from '../runs/log/run-tail.ts'
import type { Turns } from '../runs/lifecycle/turns.ts'
import type { EngineOptions } from './engine-options.ts'
import type { EnginePorts } from './engine-ports.ts'
import { purgeSessions } from '../sessions/purge-sessions.ts'

export interface LoopDeps {
  readonly ports: Required<Omit<EnginePorts, 'logWatcher'>>
  readonly options: EngineOptions
  readonly processId: string
  readonly agents: ReadonlyMap<string, Agent>
  readonly liveRuns: LiveRuns
  readonly tails: RunTails
  readonly turns: Turns
  /** Begins a queued run that was claimed. */
  readonly begin: (next: OwnedRun) => Promise<void>
  /** Drives a run that goes on from a lost one. */
  readonly drive: (started: { owned: OwnedRun; agent: Agent; events: readonly RunEvent[] }) => Promise<void>
  /** Ends the loops that take on more work. A process that drains takes nothing over: what it would begin, others go on with. */
  readonly draining: AbortSignal
  /** Ends all loops. */
  readonly stopping: AbortSignal
}

/** Starts the loops; each resolves when its signal has aborted, and none rejects. */
export function startLoops(deps: LoopDeps): Promise<void>[] {
  return [...lookAfterOwnRuns(deps), ...lookForLostRuns(deps), ...tidyUp(deps)]
}

function lookAfterOwnRuns({ ports, options, processId, liveRuns, stopping }: LoopDeps): Promise<void>[] {
  const { runRepository, clock, logger } = ports
  const { leaseMs, heartbeatMs, selfFenceMs, cancelPollMs } = options
  const leases = { leaseMs, heartbeatMs, selfFenceMs }
  const own = { runRepository, logger, liveRuns, processId }
  return [renewLeases({ ...own, clock, leases }, stopping), pollCancelRequests({ ...own, cancelPollMs }, stopping)]
}

function lookForLostRuns({ ports, options, draining, ...deps }: LoopDeps): Promise<void>[] {
  const { runRepository, eventLog: log, clock, logger } = ports
  const { leaseMs, recoveryMs } = options
  const { agents, processId, tails, turns } = deps
  const common = { runRepository, agents, clock, logger, recoveryMs }
  const recovery = { ...common, log, processId, leaseMs, tails, turns, onContinued: deps.drive }
  const queue = { ...common, offer: turns.offer(), orphanMs: leaseMs, begin: deps.begin }
  return [recoverRuns(recovery, draining), beginQueuedRuns(queue, draining)]
}

function tidyUp({ ports, options, stopping }: LoopDeps): Promise<void>[] {
  const { runRepository, deletionRepository, eventLog: log, clock, logger } = ports
  // A process that lost its lease has given up its writes within the time that a lease holds.
  const { archiveDelayMs, eventRetentionMs, leaseMs: lateWriteGraceMs, sweepMs } = options
  return [
    archiveRuns({ runRepository, log, clock, logger, archiveDelayMs, eventRetentionMs }, stopping),
    purgeSessions({ deletionRepository, logger, lateWriteGraceMs, sweepMs }, stopping),
  ]
}
