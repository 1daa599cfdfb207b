/** The sweeper: finishes deletions that were left half done, and removes what is left of expired events. */
import { raceSignal } from '../async/race-signal.ts'
import { sleep } from '../async/sleep.ts'
import { isVerbatimError } from '../contract/errors.ts'
import type { DeletionRepository, SessionKey } from '../ports/deletion-repository.ts'
import type { Logger } from '../ports/logger.ts'

export interface SweepDeps {
  readonly deletionRepository: DeletionRepository
  readonly logger: Logger
  readonly lateWriteGraceMs: number
  /** Between two rounds, in milliseconds. */
  readonly sweepMs: number
}

const maxRunsPerSweep = 100

/** Sweeps until `signal` aborts; never rejects. */
export async function purgeSessions(deps: SweepDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await attempt(deps, signal, async () => await purgeMarked(deps, signal))
    await attempt(deps, signal, async () => await sweepExpired(deps, signal))
    await sleep(deps.sweepMs, signal).catch(() => {}) // an abort ends the loop
  }
}

async function purgeMarked(deps: SweepDeps, signal: AbortSignal): Promise<void> {
  const keys = await raceSignal(deps.deletionRepository.findSessionsToPurge(), signal)
  // One that cannot be purged must not keep the others from it.
  for (const key of keys) await attempt(deps, signal, async () => await purgeOne(deps, key, signal))
}

async function purgeOne(
  { deletionRepository, logger, lateWriteGraceMs }: SweepDeps,
  key: SessionKey,
  signal: AbortSignal,
) {
  if (await deletionRepository.purgeSession(key, { lateWriteGraceMs, signal }))
    logger.info({}, 'A deleted session is purged')
}

async function sweepExpired({ deletionRepository }: SweepDeps, signal: AbortSignal): Promise<void> {
  const options = { maxRuns: maxRunsPerSweep, signal }
  while (!signal.aborted && (await deletionRepository.sweepRuns(options)) === maxRunsPerSweep) continue
}

async function attempt({ logger }: SweepDeps, signal: AbortSignal, task: () => Promise<void>): Promise<void> {
  try {
    if (!signal.aborted) await task()
  } catch (error) {
    if (signal.aborted) return
    const reason = isVerbatimError(error) ? error.code : error instanceof Error ? error.name : 'unknown'
    logger.warn({ reason }, 'Sweeping stopped; trying again')
  }
}
