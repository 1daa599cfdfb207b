/** An inline run that waits in a queue: no other process can drive it, so this one waits for its turn, whichever process ends the run before it. */
import { sleep } from '../../async/sleep.ts'
import { isUnavailable } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/event.ts'
import type { RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { promotedFence } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { followRun } from '../log/follow-run.ts'
import type { StartedRun } from './started-run.ts'

/** Between two attempts while the database is away, in milliseconds. */
const retryMs = 500

interface WaitingRun {
  readonly key: RunKey
  readonly owner: Owner
  readonly runId: RunId
}

/**
 * The run once it has begun; undefined when it was cancelled in the queue, or is another process's already.
 *
 * @throws the reason of `draining`: a process that drains waits for nothing
 */
export async function awaitTurn(
  context: EngineContext,
  waiting: WaitingRun,
): Promise<Omit<StartedRun, 'agent'> | undefined> {
  const { draining, ports } = context
  while (true) {
    try {
      const events = await readBeginning(context, waiting.key)
      if (events.at(-1)?.type !== 'run_started') return undefined
      const owned = await ports.runRepository.findOwnedRun(waiting.owner, waiting.runId)
      const isMine = owned?.run.status === 'running' && owned.fence === promotedFence
      return isMine ? { owned, events } : undefined
    } catch (error) {
      if (draining.aborted || !isUnavailable(error)) throw error
    }
    await sleep(retryMs, draining)
  }
}

/** The events up to the one that begins or ends the run. */
async function readBeginning(context: EngineContext, key: RunKey): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const batch of followRun(context, key, { after: 0, signal: context.draining })) {
    events.push(...batch.events)
    if (events.some(({ type }) => type === 'run_started')) break
  }
  return events
}
