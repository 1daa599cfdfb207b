/** The part of the sweeper that continues erasures, of any process. */
import { attempt } from '../async/poll.ts'
import type { AttemptOptions } from '../async/poll.ts'
import { raceSignal } from '../async/race-signal.ts'
import type { ErasureStep, PrincipalKey } from '../ports/principal-repository.ts'
import type { EngineContext } from '../runs/engine-context.ts'

/** Between two rounds while an erasure goes on, in milliseconds. */
const erasingPollMs = 1_000

/** One step of an erasure; undefined when it is done. What lies outside of the database goes when all of it is removed. */
export async function eraseStep(
  { ports, options }: EngineContext,
  key: PrincipalKey,
  signal: AbortSignal,
): Promise<ErasureStep | undefined> {
  const { principalRepository, contentKeys } = ports
  return await principalRepository.erase(key, {
    lateWriteGraceMs: options.leaseMs,
    onRemoved: async (owner) => await contentKeys?.erase(owner),
    signal,
  })
}

/** One round; answers when the next is due, and nothing when no erasure goes on. */
export async function erasePrincipals(context: EngineContext, options: AttemptOptions): Promise<number | undefined> {
  const { principalRepository, logger } = context.ports
  const { signal } = options
  const keys = await raceSignal(principalRepository.findErasures(), signal)
  let isDone = true
  // One that fails must not keep the others from it.
  for (const key of keys) {
    const isErased = await attempt(async () => (await eraseStep(context, key, signal))?.nextMs === undefined, options)
    if (isErased === true) logger.info({}, 'A principal is erased')
    else isDone = false
  }
  return isDone ? undefined : erasingPollMs
}
