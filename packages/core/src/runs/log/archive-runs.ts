/** Archiving: the events of an ended run move into a few documents, so that a finished answer costs little and its cursors still work. */
import { performance } from 'node:perf_hooks'
import { poll } from '../../async/poll.ts'
import { raceSignal } from '../../async/race-signal.ts'
import { isVerbatimError, reasonOf } from '../../contract/errors.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { EngineContext } from '../engine-context.ts'

/** At most so many runs are archived at once: they share the commands. */
const maxRunsPerStep = 32

/** A process whose event loop is busy for more of its time than this has callers that wait: archiving gives way. */
const busyUtilization = 0.5
/** How long the process pauses after each step, in times of what the step took. */
const pauses = { idle: 1, busy: 3 } as const

/** Archives ended runs until `signal` aborts; never rejects. */
export async function archiveRuns(context: EngineContext, signal: AbortSignal): Promise<void> {
  const { logger } = context.ports
  // Raced: a hung database must not keep this process from closing.
  let idleSince = performance.eventLoopUtilization()
  const step = async () => {
    const beganAt = performance.now()
    const hasArchived = await raceSignal(archiveNext(context), signal)
    const { utilization } = performance.eventLoopUtilization(idleSince)
    idleSince = performance.eventLoopUtilization()
    if (!hasArchived) return undefined
    return pauses[utilization > busyUtilization ? 'busy' : 'idle'] * (performance.now() - beganAt)
  }
  await poll(step, { pauseMs: context.options.archiveDelayMs, signal, logger, name: 'Archiving' })
}

/** Archives a few runs; answers whether there were any. */
async function archiveNext(context: EngineContext): Promise<boolean> {
  const { ports, options } = context
  const { runRepository, eventLog, clock } = ports
  const keys = await runRepository.findRunsToArchive(options.archiveDelayMs, maxRunsPerStep)
  if (keys.length === 0) return false
  const { eventRetentionMs, messageRetentionMs = eventRetentionMs } = options
  // Events hold what the message holds, so they are not kept longer.
  const expiresAt = new Date(clock.now().getTime() + Math.min(eventRetentionMs, messageRetentionMs))
  try {
    await eventLog.archive(keys, { expiresAt })
  } catch (error) {
    if (isVerbatimError(error)) throw error
    // One odd run must not keep the others from being archived.
    for (const key of keys) await archiveAlone(context, key, expiresAt)
  }
  await runRepository.markArchived(keys, { expiresAt })
  return true
}

async function archiveAlone({ ports }: EngineContext, key: RunKey, expiresAt: Date): Promise<void> {
  try {
    await ports.eventLog.archive([key], { expiresAt })
  } catch (error) {
    if (isVerbatimError(error)) throw error
    // Left in the log, where it is read as before.
    ports.logger.error({ error: reasonOf(error) }, 'A run cannot be archived')
  }
}
