/** Runs as callers use them: what is missing is a typed error, what starts belongs to the executor. */
import { auditMissing, noteMissing } from '../audit/audit-missing.ts'
import type { EventBatch } from '../contract/event.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import { bytesOfPrompt } from '../contract/prompt.ts'
import type { Run } from '../contract/run.ts'
import { seqOf } from '../contract/run-handle.ts'
import { bytesOfRunInput } from '../contract/run-input.ts'
import { requireFound } from '../contract/errors.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { cancelRun } from '../runs/lifecycle/cancel-run.ts'
import { continueAnswer, retryRun } from '../runs/lifecycle/retry-run.ts'
import { startRun } from '../runs/lifecycle/start-run.ts'
import { followRun } from '../runs/log/follow-run.ts'
import type { RunActions } from './engine.ts'
import type { RunExecutor } from './run-executor.ts'

/** @param gauges counts the follows that are open */
export function createRunActions(executor: RunExecutor, gauges: { followers: number }): RunActions {
  const { context } = executor
  const { audit, ports } = context
  const { sessionRepository, runRepository } = ports
  const ofOwn = <TResult>(owner: Owner, id: RunId, call: Promise<TResult>) =>
    auditMissing(audit, { owner, kind: 'run', id }, call)
  const again = (step: typeof retryRun): RunActions['retry'] => {
    return async (owner, input, { agent } = {}) => {
      const begin = async () => await step(context, owner, { ...input, inlineAgent: agent })
      return await ofOwn(owner, input.runId, executor.start({ owner, runId: input.newRunId, bytes: 0 }, begin))
    }
  }
  return {
    start: (owner, input, { agent } = {}) =>
      executor.start(
        { owner, runId: input.runId, bytes: bytesOfPrompt(input.message) + bytesOfRunInput(input.input) },
        () => startRun(context, owner, { ...input, inlineAgent: agent }),
      ),
    async *follow(owner, runId, { after, signal } = {}) {
      const release = context.admission.limits.follow(owner)
      gauges.followers++
      try {
        const { stopping } = context
        const either = signal === undefined ? stopping : AbortSignal.any([signal, stopping])
        yield* openFollow(context, { owner, runId }, { after: seqOf(after, runId), signal: either })
      } catch (error) {
        noteMissing(audit, { owner, kind: 'run', id: runId }, error)
        throw error
      } finally {
        gauges.followers--
        release()
      }
    },
    get: (owner, runId) => ofOwn(owner, runId, requireRun(runRepository.getRun(owner, runId))),
    async list(owner, sessionId, page) {
      const [session, runs] = await Promise.all([
        sessionRepository.getSession(owner, sessionId),
        runRepository.listRuns(owner, sessionId, page),
      ])
      if (session === undefined) audit.recordMissing({ owner, kind: 'session', id: sessionId })
      requireFound(session, 'SESSION_NOT_FOUND')
      return runs
    },
    cancel: (owner, runId) => ofOwn(owner, runId, cancelRun(context, owner, runId)),
    retry: again(retryRun),
    continue: again(continueAnswer),
  }
}

function openFollow(
  context: EngineContext,
  { owner, runId }: { owner: Owner; runId: RunId },
  place: { after: number; signal: AbortSignal },
): AsyncGenerator<EventBatch, void, void> {
  const { telemetry, eventLog } = context.ports
  const key = eventLog.keyOf(owner, runId)
  const batches = () => followRun(context, key, place)
  return telemetry?.follow({ key, runId, isFromStart: place.after === 0 }, batches) ?? batches()
}

async function requireRun(found: Promise<Run | undefined>): Promise<Run> {
  return requireFound(await found, 'RUN_NOT_FOUND')
}
