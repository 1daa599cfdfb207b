/** A log of many events of one run, written through the engine's own event log. */
import { ownerOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { EventLog, LogEntry, RunKey } from '@verbatim/core/server'
import { noMetrics } from '../support/metrics.ts'

/** The event at a seq of a long log. Deltas of one block merge only while they wait for their commit, so each is one event. */
export function logEvent(seq: number): RunEvent {
  return { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: `word ${seq} ` } }
}

/** Appends `events` events and the run's end; answers the run's key. */
export async function writeLongLog(
  log: EventLog,
  { runId, events, perBatch }: { runId: string; events: number; perBatch: number },
): Promise<RunKey> {
  const owner = ownerOf({ userId: 'bench', tenantId: 'default', scopes: [] })
  const key = log.keyOf(owner, runId)
  const { signal } = new AbortController()
  const batchOf = (firstSeq: number, batch: readonly RunEvent[]): LogEntry => ({
    key,
    owner,
    firstSeq,
    batchId: crypto.randomUUID(),
    events: batch,
  })
  let entries: LogEntry[] = []
  for (let firstSeq = 1; firstSeq <= events; firstSeq += perBatch) {
    const length = Math.min(perBatch, events - firstSeq + 1)
    entries.push(
      batchOf(
        firstSeq,
        Array.from({ length }, (_, at) => logEvent(firstSeq + at)),
      ),
    )
    if (entries.length < 1_000) continue
    await log.append(entries, { signal })
    entries = []
  }
  await log.append([...entries, batchOf(events + 1, [endEvent()])], { signal })
  return key
}

function endEvent(): RunEvent {
  return { type: 'run_completed', messageId: crypto.randomUUID(), metrics: noMetrics }
}
