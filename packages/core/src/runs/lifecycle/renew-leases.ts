/** The heartbeat: keeps this process's leases alive, and releases runs that the process can no longer prove to own. */
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import { VerbatimError } from '../../contract/errors.ts'
import type { EngineContext } from '../engine-context.ts'
import type { LiveRun } from './live-runs.ts'

/** A heartbeat that failed is repeated after this part of the usual pause: an outage of one election leaves several chances. */
const retriesPerBeat = 5

/** When each run's lease was last known to be fresh, by the monotonic clock. */
type Confirmations = WeakMap<LiveRun, number>

/** Renews the leases, and releases what it cannot confirm, until `signal` aborts; never rejects. */
export async function renewLeases(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { heartbeatMs } = context.options
  const { logger } = context.ports
  const confirmedAt: Confirmations = new WeakMap()
  const beating = { pauseMs: heartbeatMs / retriesPerBeat, signal, logger, name: 'A heartbeat' }
  const fencing = { pauseMs: heartbeatMs, signal, logger, name: 'The self-fence' }
  await Promise.all([
    poll(async () => await beat(context, confirmedAt, signal), beating),
    // Apart from the heartbeats, which may hang: whatever they do, a run is released when its own time is up.
    poll(async () => await Promise.resolve(fenceInTime(context, confirmedAt)), fencing),
  ])
}

/** Answers in how many milliseconds the next heartbeat is due. */
async function beat(context: EngineContext, confirmedAt: Confirmations, signal: AbortSignal): Promise<number> {
  const { ports, processId } = context
  const { leaseMs, heartbeatMs } = context.options
  const live = confirmNewRuns(context, confirmedAt)
  if (live.length === 0) return heartbeatMs
  // Time is taken before the request: the lease is at least this fresh.
  const askedAt = ports.clock.monotonicMs()
  const owned = live.map((run) => run.owned)
  const renewing = ports.runRepository.renewLeases(owned, { processId, leaseMs })
  // A hung database must keep this process neither from the next heartbeat nor from closing.
  const answered = await raceSignal(renewing, AbortSignal.any([signal, AbortSignal.timeout(heartbeatMs)]))
  const renewed = new Set(answered.map((one) => one.key))
  for (const run of live) {
    if (!renewed.has(run.owned.key)) continue // ended just now, or taken over: the log's own fence tells which
    confirmedAt.set(run, askedAt)
  }
  return heartbeatMs
}

/** Releases the runs whose time is up; answers in how many milliseconds the next one's may be. */
function fenceInTime(context: EngineContext, confirmedAt: Confirmations): number {
  const { heartbeatMs, selfFenceMs } = context.options
  const now = context.ports.clock.monotonicMs()
  let pauseMs = heartbeatMs
  for (const run of confirmNewRuns(context, confirmedAt)) {
    if (run.stop.signal.aborted) continue
    const leftMs = (confirmedAt.get(run) ?? now) + selfFenceMs - now
    if (leftMs > 0) pauseMs = Math.min(pauseMs, leftMs)
    else run.stop.abort(new VerbatimError('RUN_FENCED', 'The lease of the run could not be renewed in time'))
  }
  return pauseMs
}

/** All runs. One not seen before came since the last call, so its lease is a heartbeat old at most. */
function confirmNewRuns({ liveRuns, ports, options }: EngineContext, confirmedAt: Confirmations): LiveRun[] {
  const live = liveRuns.all()
  const now = ports.clock.monotonicMs()
  for (const run of live) if (!confirmedAt.has(run)) confirmedAt.set(run, now - options.heartbeatMs)
  return live
}
