/** The audit of one process: what callers try, stored every few seconds, and the application's listener. */
import { raceSignal } from '../async/race-signal.ts'
import { poll } from '../async/poll.ts'
import { reasonOf } from '../contract/errors.ts'
import type { AuditListener, AuditRecorder } from '../ports/audit.ts'
import type { EngineOptions } from '../ports/engine-options.ts'
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import { AuditTrail } from './audit-trail.ts'

/** How long a process that stops waits for the database to store the rest, in milliseconds. */
const closeMs = 2_000

export interface Audit extends AuditRecorder {
  /** Stores what is taken down, until `signal` aborts; never rejects. */
  store(signal: AbortSignal): Promise<void>
  /** Stores the rest; never rejects. */
  close(): Promise<void>
}

export function openAudit(
  { auditRepository, clock, logger, onAudit }: ResolvedPorts,
  { auditStoreMs: pauseMs }: Pick<EngineOptions, 'auditStoreMs'>,
): Audit {
  const onEntry: AuditListener = (entry) => {
    try {
      onAudit?.(entry)
    } catch (error) {
      logger.error({ reason: reasonOf(error) }, 'The listener of the audit failed')
    }
  }
  const trail = new AuditTrail(auditRepository, { clock, onEntry })
  const stop = auditRepository.listen(onEntry)
  return {
    record: (access) => trail.record(access),
    recordMissing: (missing) => trail.recordMissing(missing),
    store: (signal) =>
      poll(() => raceSignal(trail.flush(), signal), { pauseMs, signal, logger, name: 'Storing the audit' }),
    async close() {
      stop()
      try {
        await raceSignal(trail.close(), AbortSignal.timeout(closeMs))
      } catch (error) {
        logger.warn({ reason: reasonOf(error) }, 'The newest rows of the audit could not be stored')
      }
    },
  }
}
