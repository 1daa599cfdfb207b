/**
 * A start or a retry that the database did not confirm in time may be stored all the same: a commit that is under way cannot be called
 * back. The caller received `UNAVAILABLE`; the run, should it appear, is this process's to write, and no other process would before
 * its lease expires (P3). A run that was not stored is not started again: this only reads.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { isUnavailable } from '../../contract/errors.ts'
import { firstFence } from '../../ports/run-repository.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
import type { InDoubtStart, StartedRun } from './started-run.ts'

/** Between two reads, in milliseconds; a person may wait for the answer. */
const lookMs = 500

/** The result of `storing`; when it is unknown whether the database stored it, `onInDoubt` is called before the error is thrown. */
export async function reportInDoubt<TResult>(storing: Promise<TResult>, onInDoubt: () => void): Promise<TResult> {
  try {
    return await storing
  } catch (error) {
    if (isUnavailable(error)) onInDoubt()
    throw error
  }
}

/** The run once it has begun, undefined when it is not this process's to drive; never rejects. An abort of `signal` means one last read. */
export async function resolveInDoubtStart(
  runRepository: RunRepository,
  start: InDoubtStart,
  signal: AbortSignal,
): Promise<StartedRun | undefined> {
  while (true) {
    const isLastLook = signal.aborted
    const looking = look(runRepository, start)
    const found = await (isLastLook ? looking : raceSignal(looking, signal).catch(() => 'open' as const))
    if (found !== 'open') return found
    if (isLastLook) return undefined
    await sleep(lookMs, signal).catch(() => {}) // an abort is the time for the last look
  }
}

/** `open` while the run may still begin as it was asked to. */
async function look(runRepository: RunRepository, start: InDoubtStart): Promise<StartedRun | undefined | 'open'> {
  const { owner, runId, messageId, ...begun } = start
  try {
    const owned = await runRepository.findOwnedRun(owner, runId)
    if (owned === undefined) return 'open'
    // A run that was promoted or taken over has a higher fence, and another driver.
    if (owned.fence !== firstFence || owned.run.messageId !== messageId) return undefined
    return owned.run.status === 'running' ? { owned, ...begun } : undefined
  } catch (error) {
    return isUnavailable(error) ? 'open' : undefined // its session is deleted
  }
}
