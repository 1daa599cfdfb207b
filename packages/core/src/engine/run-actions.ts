/** Runs as callers use them: what is missing is a typed error, what starts belongs to the executor. */
import { seqOf } from '../contract/run-handle.ts'
import { requireFound } from '../contract/errors.ts'
import { cancelRun } from '../runs/lifecycle/cancel-run.ts'
import { retryRun } from '../runs/lifecycle/retry-run.ts'
import { startRun } from '../runs/lifecycle/start-run.ts'
import { followRun } from '../runs/log/follow-run.ts'
import type { RunActions } from './engine.ts'
import type { RunExecutor } from './run-executor.ts'

/** @param gauges counts the follows that are open */
export function createRunActions(executor: RunExecutor, gauges: { followers: number }): RunActions {
  const { context } = executor
  const { sessionRepository, runRepository, eventLog } = context.ports
  return {
    start: (owner, input) => executor.start(() => startRun(context, owner, input)),
    async *follow(owner, runId, { after, signal } = {}) {
      gauges.followers++
      try {
        const { stopping } = context
        const either = signal === undefined ? stopping : AbortSignal.any([signal, stopping])
        yield* followRun(context, eventLog.keyOf(owner, runId), { after: seqOf(after, runId), signal: either })
      } finally {
        gauges.followers--
      }
    },
    get: async (owner, runId) => requireFound(await runRepository.getRun(owner, runId), 'RUN_NOT_FOUND'),
    async list(owner, sessionId, page) {
      const [session, runs] = await Promise.all([
        sessionRepository.getSession(owner, sessionId),
        runRepository.listRuns(owner, sessionId, page),
      ])
      requireFound(session, 'SESSION_NOT_FOUND')
      return runs
    },
    cancel: (owner, runId) => cancelRun(context, owner, runId),
    retry: (owner, input) => executor.start(() => retryRun(context, owner, input)),
  }
}
