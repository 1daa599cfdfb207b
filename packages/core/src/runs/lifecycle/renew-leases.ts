/** The heartbeat: keeps this process's leases alive, and lets go of runs it can no longer prove to own. */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../../ports/logger.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
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

/** A beat that failed is made again after this part of the time between two: an outage of one election leaves several chances. */
const retriesPerBeat = 5

/** When each run's lease was last known to be fresh, by the monotonic clock. */
type Confirmations = WeakMap<LiveRun, number>

/** Beats, and lets go of what it cannot confirm, until `signal` aborts; never rejects. */
export async function renewLeases(deps: LeaseDeps, signal: AbortSignal): Promise<void> {
  const confirmedAt: Confirmations = new WeakMap()
  await Promise.all([keepBeating(deps, confirmedAt, signal), fenceInTime(deps, confirmedAt, signal)])
}

async function keepBeating(deps: LeaseDeps, confirmedAt: Confirmations, signal: AbortSignal): Promise<void> {
  const { heartbeatMs } = deps.leases
  let pauseMs = heartbeatMs
  while (!signal.aborted) {
    await sleep(pauseMs, signal).catch(() => {}) // an abort ends the loop
    const live = lookAtRuns(deps, confirmedAt)
    if (live.length === 0 || signal.aborted) continue
    pauseMs = (await beat(deps, { live, confirmedAt }, signal)) ? heartbeatMs : heartbeatMs / retriesPerBeat
  }
}

/** Apart from the beats, which may hang: whatever they do, a run is let go of when its own time is up. */
async function fenceInTime(deps: LeaseDeps, confirmedAt: Confirmations, signal: AbortSignal): Promise<void> {
  const { heartbeatMs, selfFenceMs } = deps.leases
  let pauseMs = heartbeatMs
  while (!signal.aborted) {
    await sleep(pauseMs, signal).catch(() => {}) // an abort ends the loop
    const now = deps.clock.monotonicMs()
    pauseMs = heartbeatMs
    for (const run of lookAtRuns(deps, confirmedAt)) {
      if (run.stop.signal.aborted) continue
      const leftMs = (confirmedAt.get(run) ?? now) + selfFenceMs - now
      if (leftMs > 0) pauseMs = Math.min(pauseMs, leftMs)
      else run.stop.abort(new VerbatimError('RUN_FENCED', 'The lease of the run could not be renewed in time'))
    }
  }
}

/** A run not seen before came since the last look, so its lease is a heartbeat old at most. */
function lookAtRuns({ liveRuns, clock, leases }: LeaseDeps, confirmedAt: Confirmations): LiveRun[] {
  const live = liveRuns.all()
  const now = clock.monotonicMs()
  for (const run of live) if (!confirmedAt.has(run)) confirmedAt.set(run, now - leases.heartbeatMs)
  return live
}

/** Answers whether the database did. */
async function beat(
  deps: LeaseDeps,
  { live, confirmedAt }: { live: readonly LiveRun[]; confirmedAt: Confirmations },
  signal: AbortSignal,
): Promise<boolean> {
  const { runRepository, clock, logger, processId, leases } = deps
  // Time is taken before the question: the lease is at least this fresh.
  const askedAt = clock.monotonicMs()
  try {
    const owned = live.map((run) => run.owned)
    const renewing = runRepository.renewLeases(owned, { processId, leaseMs: leases.leaseMs })
    // A hung database must keep this process neither from the next beat nor from closing.
    const answered = await raceSignal(renewing, AbortSignal.any([signal, AbortSignal.timeout(leases.heartbeatMs)]))
    const renewed = new Set(answered.map((one) => one.key))
    for (const run of live) {
      if (!renewed.has(run.owned.key)) continue // ended just now, or taken over: the log's own fence tells which
      confirmedAt.set(run, askedAt)
    }
    return true
  } catch {
    if (!signal.aborted) logger.warn({ runs: live.length }, 'A heartbeat failed; trying again')
    return false
  }
}
