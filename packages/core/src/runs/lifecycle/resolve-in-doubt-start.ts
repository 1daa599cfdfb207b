/**
 * A start, a retry or the beginning of a queued run that the database did not confirm in time may be stored all the same: a commit that
 * is under way cannot be called back. Whoever asked was told `UNAVAILABLE`; the run, should it appear, is this process's to write,
 * and nobody else would before its lease lapses (P3). It is only looked for: what was not under way is not begun any more.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { MessageId, RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RunRepository } from '../../ports/run-repository.ts'
import type { StartedRun } from './started-run.ts'

/** A run that may have begun: what is needed to know it again, and to drive it. */
export interface InDoubtStart extends Omit<StartedRun, 'owned'> {
  readonly owner: Owner
  readonly runId: RunId
  /** Made for this one call, like `fence` for this one writer: together they tell it from another's run of the same id. */
  readonly messageId: MessageId
  readonly fence: number
}

/** Between two looks, in milliseconds; a person may wait for the answer. */
const lookMs = 500

/** What `storing` answers; `onInDoubt` is told before it is thrown that nobody knows whether it was stored. */
export async function reportInDoubt<TResult>(storing: Promise<TResult>, onInDoubt: () => void): Promise<TResult> {
  try {
    return await storing
  } catch (error) {
    if (isUnavailable(error)) onInDoubt()
    throw error
  }
}

/** The run once it has begun, undefined when it has not and need not be waited for; never rejects. An abort of `signal` means one last look. */
export async function resolveInDoubtStart(
  runRepository: RunRepository,
  late: InDoubtStart,
  signal: AbortSignal,
): Promise<StartedRun | undefined> {
  while (true) {
    const isLastLook = signal.aborted
    const looking = look(runRepository, late)
    const found = await (isLastLook ? looking : raceSignal(looking, signal).catch(() => 'open' as const))
    if (found !== 'open') return found
    if (isLastLook) return undefined
    await sleep(lookMs, signal).catch(() => {}) // an abort is the time for the last look
  }
}

/** `open` while the run may still begin as it was asked to. */
async function look(runRepository: RunRepository, late: InDoubtStart): Promise<StartedRun | undefined | 'open'> {
  const { owner, runId, messageId, fence, ...begun } = late
  try {
    const owned = await runRepository.findOwnedRun(owner, runId)
    if (owned === undefined) return 'open'
    if (owned.fence !== fence || owned.run.messageId !== messageId) return undefined
    if (owned.run.status === 'queued') return 'open'
    return owned.run.status === 'running' ? { owned, ...begun } : undefined
  } catch (error) {
    return isUnavailable(error) ? 'open' : undefined // its session is deleted
  }
}

function isUnavailable(error: unknown): boolean {
  return isVerbatimError(error) && error.code === 'UNAVAILABLE'
}
