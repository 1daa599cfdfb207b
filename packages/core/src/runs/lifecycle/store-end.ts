import { errorOf, isVerbatimError, reasonOf } from '../../contract/errors.ts'
import type { FinishOutcome, OwnedRun, RunEnd } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'

/**
 * Stores the end of a run: as it is, or without its content where the database refuses that. So a run can always end (P3), whatever
 * its answer holds.
 *
 * @returns the end that was tried last, and what became of it
 * @throws VerbatimError `UNAVAILABLE` when the signal aborts before the database answered
 */
export async function storeEnd(
  { ports, executor }: EngineContext,
  { owned, end }: { owned: OwnedRun; end: RunEnd },
  signal: AbortSignal,
): Promise<{ end: RunEnd; outcome: FinishOutcome }> {
  const store = async (tried: RunEnd) => ({
    end: tried,
    outcome: await ports.runRepository.finishRun(owned, tried, { holder: executor.holder(), signal }),
  })
  try {
    return await store(end)
  } catch (error) {
    if (isVerbatimError(error) || signal.aborted) throw error
    const correlationId = crypto.randomUUID()
    const fields = { correlationId, runId: owned.run.id, error: reasonOf(error) }
    ports.logger.error(fields, 'The database refuses the end of a run; the run fails without its content')
    return await store(withoutContent(end, owned, correlationId))
  }
}

function withoutContent({ seq, before = [], metrics }: RunEnd, { run }: OwnedRun, correlationId: string): RunEnd {
  const error = errorOf('INTERNAL', { data: { correlationId } }).toWire()
  return {
    status: 'failed',
    seq: seq - before.length,
    batchId: crypto.randomUUID(),
    event: { type: 'run_failed', messageId: run.messageId, metrics, error },
    content: [],
    metrics,
    error,
  }
}
