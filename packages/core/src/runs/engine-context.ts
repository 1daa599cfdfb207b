/** What every step of a run works with: made once by create-engine.ts, and the first argument of each step. */
import type { Admission } from '../limits/admit-start.ts'
import type { Agent } from '../ports/agent.ts'
import type { AuditRecorder } from '../ports/audit.ts'
import type { EngineOptions } from '../ports/engine-options.ts'
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import type { LeaseHolder, PromotedRun } from '../ports/run-repository.ts'
import type { LiveRuns } from './lifecycle/live-runs.ts'
import type { InDoubtStart, StartedRun } from './lifecycle/started-run.ts'
import type { EventWriter } from './log/append-events.ts'
import type { AwaitedRuns } from './log/awaited-runs.ts'
import type { RunTails } from './log/run-tail.ts'

export interface EngineContext {
  readonly ports: ResolvedPorts
  readonly options: EngineOptions
  readonly audit: AuditRecorder
  /** What callers may do and use at most. */
  readonly admission: Admission
  readonly agents: ReadonlyMap<string, Agent>
  /** Names this process in leases. */
  readonly processId: string
  readonly tails: RunTails
  readonly awaitedRuns: AwaitedRuns
  readonly writer: EventWriter
  readonly liveRuns: LiveRuns
  readonly executor: Executor
  /** Aborts when the process takes on no more runs. */
  readonly draining: AbortSignal
  /** Aborts when the process waits for no run any more: what is not stored by then is left to recovery. */
  readonly leaving: AbortSignal
  /** Aborts when the engine closes; ends every wait and every loop. */
  readonly stopping: AbortSignal
}

/** The part of the engine that drives this process's runs; steps hand runs to it. */
export interface Executor {
  /** Drives a run that this process has stored or taken over, or releases its lease when the process drains. */
  driveOrRelease(started: StartedRun): Promise<void>
  /** Drives a run whose start the database did not confirm, should it appear. Does not block and never throws. */
  resolveInDoubt(start: InDoubtStart): void
  /** This process, as it takes runs on: without agents while it drains. */
  holder(): LeaseHolder
  /** Drives the run that an end has promoted, when there is one for this process. Does not block and never throws. */
  drivePromoted(promoted: PromotedRun | undefined): void
}

/** How long a process that stops waits for what it has to store, and then for its leases to be released, in milliseconds. */
export const releaseTimeoutMs = 2_000
