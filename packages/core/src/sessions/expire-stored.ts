/** The part of the sweeper that removes what is kept for a time only, by kind. The oldest goes first, a bounded part at a time. */
import { attempt } from '../async/poll.ts'
import type { AttemptOptions } from '../async/poll.ts'
import type { EngineContext } from '../runs/engine-context.ts'

const maxRunsPerSweep = 100
const maxAuditRowsPerSweep = 500
const maxFilesPerSweep = 100

/** One round: what is due goes; what fails is tried again in the next. */
export async function expireStored(context: EngineContext, options: AttemptOptions): Promise<void> {
  await attempt(() => expireEvents(context, options.signal), options)
  await attempt(() => expireMessages(context, options.signal), options)
  await attempt(() => expireAttachments(context, options.signal), options)
  await attempt(() => expireAudit(context, options.signal), options)
}

async function expireEvents({ ports }: EngineContext, signal: AbortSignal): Promise<void> {
  const batch = { maxRuns: maxRunsPerSweep, signal }
  while (!signal.aborted && (await ports.deletionRepository.sweepRuns(batch)) === maxRunsPerSweep) continue
}

async function expireMessages({ ports, options }: EngineContext, signal: AbortSignal): Promise<void> {
  const { messageRetentionMs } = options
  if (messageRetentionMs === undefined) return
  await ports.deletionRepository.expireMessages({ before: ageLimit(ports.clock.now(), messageRetentionMs), signal })
}

async function expireAttachments({ ports }: EngineContext, signal: AbortSignal): Promise<void> {
  const batch = { maxFiles: maxFilesPerSweep, signal }
  while (!signal.aborted && (await ports.attachmentRepository.sweep(batch)) === maxFilesPerSweep) continue
}

async function expireAudit({ ports, options }: EngineContext, signal: AbortSignal): Promise<void> {
  const { auditRepository, clock } = ports
  const batch = { before: ageLimit(clock.now(), options.auditRetentionMs), maxRows: maxAuditRowsPerSweep, signal }
  while (!signal.aborted && (await auditRepository.expire(batch)) === maxAuditRowsPerSweep) continue
}

function ageLimit(now: Date, retentionMs: number): Date {
  return new Date(now.getTime() - retentionMs)
}
