/** Archiving: the events of an ended run move into a few documents, so that a finished answer costs little and its cursors still work. */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { EventLog } from '../../ports/event-log.ts'
import type { Logger } from '../../ports/logger.ts'
import type { RunRepository } from '../../ports/run-repository.ts'

export interface ArchiveDeps {
  readonly runRepository: RunRepository
  readonly log: EventLog
  readonly clock: Clock
  readonly logger: Logger
  /** How long a run rests before it is archived, so that its followers are done, in milliseconds. */
  readonly archiveDelayMs: number
  /** How long archived events are kept, in milliseconds. */
  readonly eventRetentionMs: number
}

/** Archives ended runs until `signal` aborts; never rejects. */
export async function archiveRuns(deps: ArchiveDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      // Raced: a hung database must not keep this process from closing.
      while (!signal.aborted && (await raceSignal(archiveOne(deps), signal))) continue
    } catch (error) {
      if (signal.aborted) return
      const reason = isVerbatimError(error) ? error.code : 'unexpected'
      deps.logger.warn({ reason }, 'Archiving stopped; trying again')
    }
    await sleep(deps.archiveDelayMs, signal).catch(() => {}) // an abort ends the loop
  }
}

/** Archives at most one run; answers whether there was one. */
async function archiveOne({ runRepository, log, clock, logger, ...times }: ArchiveDeps): Promise<boolean> {
  const key = await runRepository.findRunToArchive(times.archiveDelayMs)
  if (key === undefined) return false
  const expiresAt = new Date(clock.now().getTime() + times.eventRetentionMs)
  try {
    await log.archive(key, { expiresAt })
  } catch (error) {
    if (isVerbatimError(error)) throw error
    // Left in the log, where it is read as before: one odd run must not keep the others from being archived.
    logger.error({ error: error instanceof Error ? error.name : 'unknown' }, 'A run cannot be archived')
  }
  await runRepository.markArchived(key, { expiresAt })
  return true
}
