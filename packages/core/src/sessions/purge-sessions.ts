/** The sweeper: finishes deletions and erasures that were left half done, and removes what is kept for a time only. */
import { attempt, poll } from '../async/poll.ts'
import { raceSignal } from '../async/race-signal.ts'
import { erasePrincipals } from '../principals/erase-principals.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { expireStored } from './expire-stored.ts'

/** Sweeps until `signal` aborts; never rejects. */
export async function purgeSessions(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { deletionRepository, logger } = context.ports
  const { sweepMs, leaseMs: lateWriteGraceMs } = context.options
  const options = { signal, logger, name: 'Sweeping' }
  const purgeDeleted = async () => {
    const keys = await raceSignal(deletionRepository.findSessionsToPurge(), signal)
    // One that cannot be purged must not keep the others from it.
    for (const key of keys) {
      const isPurged = await attempt(() => deletionRepository.purgeSession(key, { lateWriteGraceMs, signal }), options)
      if (isPurged === true) logger.info({}, 'A deleted session is purged')
    }
  }
  const step = async () => {
    await attempt(purgeDeleted, options)
    const nextMs = await attempt(() => erasePrincipals(context, options), options)
    await expireStored(context, options)
    return nextMs
  }
  await poll(step, { pauseMs: sweepMs, ...options })
}
