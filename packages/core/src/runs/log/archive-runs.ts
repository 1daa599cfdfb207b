/** Archiving: the events of an ended run move into a few documents, so that a finished answer costs little and its cursors still work. */
import { performance } from 'node:perf_hooks'
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import { isVerbatimError, reasonOf } from '../../contract/errors.ts'
import type { EngineContext } from '../engine-context.ts'

/** A process whose event loop is busy for more of its time than this has callers that wait: archiving gives way. */
const busyUtilization = 0.5
/** How long a busy process pauses after each run, in times of what the run took. */
const pausesPerArchive = 3

/** Archives ended runs until `signal` aborts; never rejects. */
export async function archiveRuns(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { logger } = context.ports
  // Raced: a hung database must not keep this process from closing.
  let idleSince = performance.eventLoopUtilization()
  const step = async () => {
    const beganAt = performance.now()
    const hasArchived = await raceSignal(archiveOne(context), signal)
    const { utilization } = performance.eventLoopUtilization(idleSince)
    idleSince = performance.eventLoopUtilization()
    if (!hasArchived) return undefined
    return utilization > busyUtilization ? pausesPerArchive * (performance.now() - beganAt) : 0
  }
  await poll(step, { pauseMs: context.options.archiveDelayMs, signal, logger, name: 'Archiving' })
}

/** Archives at most one run; answers whether there was one. */
async function archiveOne({ ports, options }: EngineContext): Promise<boolean> {
  const { runRepository, eventLog, clock, logger } = ports
  const key = await runRepository.findRunToArchive(options.archiveDelayMs)
  if (key === undefined) return false
  const { eventRetentionMs, messageRetentionMs = eventRetentionMs } = options
  // Events hold what the message holds, so they are not kept longer.
  const expiresAt = new Date(clock.now().getTime() + Math.min(eventRetentionMs, messageRetentionMs))
  try {
    await eventLog.archive(key, { expiresAt })
  } catch (error) {
    if (isVerbatimError(error)) throw error
    // Left in the log, where it is read as before: one odd run must not keep the others from being archived.
    logger.error({ error: reasonOf(error) }, 'A run cannot be archived')
  }
  await runRepository.markArchived(key, { expiresAt })
  return true
}
