import type { DriveOutcome, DrivenRun } from '../runs/lifecycle/drive-run.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** Drives a run and reports it, where there is telemetry. */
export async function observeRun(
  telemetry: Telemetry | undefined,
  driven: DrivenRun,
  drive: (driven: DrivenRun) => Promise<DriveOutcome>,
): Promise<DriveOutcome> {
  if (telemetry === undefined) return await drive(driven)
  const { owned, events, onCommitted } = driven
  const resumptions = events.filter(({ type }) => type === 'run_resumed').length
  const wasQueued = events[0]?.type === 'run_queued'
  return await telemetry.run({ owned, resumptions, wasQueued }, async (trace) => {
    const observed: DrivenRun = {
      ...driven,
      trace: trace.agent,
      onCommitted(batch, bytes) {
        trace.committed(batch)
        onCommitted(batch, bytes)
      },
    }
    return await drive(observed)
  })
}
