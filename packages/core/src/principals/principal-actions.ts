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
  let exports = 0
  return {
    async *export(owner, { requestedBy = owner, signal } = {}) {
      if (exports >= maxExports) {
        throw new VerbatimError('RATE_LIMITED', 'As many exports go on as one process writes; ask again later', {
          data: { retryAfterMs: exportRetryMs },
        })
      }
      exports++
      try {
        yield* writeExport(context, { owner, requestedBy, signal })
      } finally {
        exports--
      }
    },
    erase: (owner, input = {}) => erasePrincipal(context, owner, input),
  }
}

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
  {
    erasureId = crypto.randomUUID(),
    requestedBy = owner,
    signal = context.stopping,
  }: Parameters<PrincipalActions['erase']>[1] & object,
): Promise<Erasure> {
  const { principalRepository } = context.ports
  const begun = await principalRepository.beginErasure(owner, { id: erasureId, requestedBy })
  let { erasure } = begun
  const wait = AbortSignal.any([signal, context.stopping, AbortSignal.timeout(context.options.cancelWaitMs)])
  while (erasure.status !== 'erased' && !wait.aborted) {
    // The erasure is stored, as the caller asked: any process continues it, and reports what prevents it.
    const step = await eraseStep(context, begun.key, wait).catch(() => null)
    if (step === null) break
    if (step === undefined) {
      return (await principalRepository.beginErasure(owner, { id: erasure.id, requestedBy })).erasure
    }
    erasure = step.erasure
    if (step.nextMs !== undefined) await sleep(step.nextMs, wait).catch(() => {}) // the wait is over
  }
  return erasure
}
