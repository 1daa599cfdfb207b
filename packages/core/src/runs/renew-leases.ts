/** The heartbeat: keeps this process's leases alive, and lets go of runs it can no longer prove to own. */
import { raceSignal } from '../async/race-signal.ts'
import { sleep } from '../async/sleep.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import type { RunRepository } from '../ports/run-repository.ts'
import type { LiveRun, LiveRuns } from './live-runs.ts'

export interface LeaseDeps {
  readonly runRepository: RunRepository
  readonly liveRuns: LiveRuns
  readonly clock: Clock
  readonly logger: Logger
  readonly processId: string
  readonly leases: LeaseOptions
}

interface LeaseOptions {
  /** How long a lease holds without a heartbeat, in milliseconds. */
  readonly leaseMs: number
  /** Between two heartbeats, in milliseconds. */
  readonly heartbeatMs: number
  /** Without a confirmed heartbeat for this long a process stops writing, well before others may take over, in milliseconds. */
  readonly selfFenceMs: number
}

/** Beats until `signal` aborts; never rejects. */
export async function renewLeases(deps: LeaseDeps, signal: AbortSignal): Promise<void> {
  const confirmedAt = new WeakMap<LiveRun, number>()
  while (!signal.aborted) {
    await sleep(deps.leases.heartbeatMs, signal).catch(() => {}) // an abort ends the loop
    const live = deps.liveRuns.all()
    const now = deps.clock.monotonicMs()
    for (const run of live) if (!confirmedAt.has(run)) confirmedAt.set(run, now - deps.leases.heartbeatMs)
    if (live.length === 0 || signal.aborted) continue
    await beat(deps, live, confirmedAt)
    letGoOfUnconfirmed(deps, live, confirmedAt)
  }
}

async function beat(deps: LeaseDeps, live: readonly LiveRun[], confirmedAt: WeakMap<LiveRun, number>): Promise<void> {
  const { runRepository, clock, logger, processId, leases } = deps
  // Time is taken before the question: the lease is at least this fresh.
  const askedAt = clock.monotonicMs()
  try {
    const owned = live.map((run) => run.owned)
    const renewing = runRepository.renewLeases(owned, { processId, leaseMs: leases.leaseMs })
    // A hung database must not keep this process from noticing that its leases run out.
    const answered = await raceSignal(renewing, AbortSignal.timeout(leases.heartbeatMs))
    const renewed = new Set(answered.map((one) => one.key))
    for (const run of live) {
      if (!renewed.has(run.owned.key)) continue // ended just now, or taken over: the log's own fence tells which
      confirmedAt.set(run, askedAt)
    }
  } catch {
    logger.warn({ runs: live.length }, 'A heartbeat failed; trying again')
  }
}

function letGoOfUnconfirmed(
  { clock, leases }: LeaseDeps,
  live: readonly LiveRun[],
  confirmedAt: WeakMap<LiveRun, number>,
): void {
  const now = clock.monotonicMs()
  for (const run of live) {
    if (now - (confirmedAt.get(run) ?? now) <= leases.selfFenceMs) continue
    run.stop.abort(new VerbatimError('RUN_FENCED', 'The lease of the run could not be renewed in time'))
  }
}
