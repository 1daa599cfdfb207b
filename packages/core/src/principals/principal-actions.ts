/** A user's data as callers take it out and remove it: whole, with a row in the audit before the first line leaves. */
import { sleep } from '../async/sleep.ts'
import { VerbatimError } from '../contract/errors.ts'
import { exportFormat } from '../contract/principal-data.ts'
import type { Erasure, ExportItem, ExportLine } from '../contract/principal-data.ts'
import type { Owner } from '../contract/principal.ts'
import type { PrincipalActions } from '../engine/engine.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { eraseStep } from './erase-principals.ts'

/** Exports that one process writes at once: each reads all of a user, and holds up to 16 MB for a reader that is slow. */
const maxExports = 4

const exportRetryMs = 10_000

export function createPrincipalActions(context: EngineContext): PrincipalActions {
  const exporting = new Set<string>()
  return {
    async *export(owner, { requestedBy = owner, signal } = {}) {
      const caller = JSON.stringify([requestedBy.tenantId, requestedBy.ownerId])
      // One a caller, or a caller who reads slowly would take every place.
      if (exporting.size >= maxExports || exporting.has(caller)) throw tooManyExports()
      exporting.add(caller)
      try {
        yield* writeExport(context, { owner, requestedBy, signal })
      } finally {
        exporting.delete(caller)
      }
    },
    erase: (owner, input = {}) => erasePrincipal(context, owner, input),
  }
}

function tooManyExports(): VerbatimError {
  return new VerbatimError('RATE_LIMITED', 'An export of this caller goes on, or as many as one process writes', {
    data: { retryAfterMs: exportRetryMs },
  })
}

type EraseInput = NonNullable<Parameters<PrincipalActions['erase']>[1]>

interface ExportRequest {
  readonly owner: Owner
  readonly requestedBy: Owner
  readonly signal: AbortSignal | undefined
}

async function* writeExport(
  { ports, stopping }: EngineContext,
  { owner, requestedBy, signal }: ExportRequest,
): AsyncGenerator<ExportLine, void, void> {
  const { auditRepository, principalRepository, clock } = ports
  const { tenantId, ownerId: userId } = owner
  const exportId = crypto.randomUUID()
  const startedAt = clock.now().toISOString()
  await auditRepository.store({
    id: exportId,
    action: 'principal_exported',
    at: startedAt,
    count: 1,
    tenantId,
    actor: { tenantId: requestedBy.tenantId, userId: requestedBy.ownerId },
    subject: userId,
    target: null,
    address: null,
    counts: null,
  })
  yield { type: 'header', format: exportFormat, version: 1, exportId, tenantId, userId, startedAt }
  const counts: Record<string, number> = {}
  const either = signal === undefined ? stopping : AbortSignal.any([signal, stopping])
  for await (const item of principalRepository.export(owner, { signal: either })) {
    counts[item.type] = (counts[item.type] ?? 0) + sizeOf(item)
    yield item
  }
  yield { type: 'trailer', counts, endedAt: clock.now().toISOString() }
}

function sizeOf(item: ExportItem): number {
  return item.type === 'events' ? item.events.length : 1
}

/** Begins the erasure and does what it can until the caller has waited long enough; any process does the rest. */
async function erasePrincipal(
  context: EngineContext,
  owner: Owner,
  { erasureId = crypto.randomUUID(), requestedBy = owner, signal = context.stopping }: EraseInput,
): Promise<Erasure> {
  const { ports, options, stopping } = context
  const { principalRepository, clock } = ports
  const begun = await principalRepository.beginErasure(owner, { id: erasureId, requestedBy })
  let { erasure } = begun
  const endsAt = clock.monotonicMs() + options.cancelWaitMs
  const wait = AbortSignal.any([signal, stopping, AbortSignal.timeout(options.cancelWaitMs)])
  while (erasure.status !== 'erased' && !wait.aborted) {
    // The erasure is stored, as the caller asked: any process continues it, and reports what prevents it.
    const step = await eraseStep(context, begun.key, wait).catch(() => null)
    if (step === null) break
    if (step === undefined) {
      return (await principalRepository.beginErasure(owner, { id: erasure.id, requestedBy })).erasure
    }
    erasure = step.erasure
    const { nextMs = 0 } = step
    if (clock.monotonicMs() + nextMs > endsAt) break // the caller's time is over before there is more to do
    await sleep(nextMs, wait).catch(() => {}) // the wait is over
  }
  return erasure
}
