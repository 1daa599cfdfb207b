/** Which run makes an answer. An answer that was continued after a crash begins with the first of its runs. */
import { isVerbatimError } from '@verbatim/core'
import type { ErrorCode, Run, RunId, Session, SessionId } from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'

/** The run that began the answer that `runId` is a part of: the one of its prompt. @throws VerbatimError `RUN_NOT_FOUND` */
export async function firstRunOf(call: EndpointCall, runId: RunId): Promise<Run> {
  const run = await call.engine.runs.get(call.owner, runId)
  return run.continuationOf === null ? run : await firstRunOf(call, run.continuationOf)
}

/**
 * The run whose stream brings what `runId` says: a reader of an interrupted run comes to the run that continues it. An answer that was
 * cut at its greatest length has ended, and what goes on from it is a stream of its own.
 *
 * @throws VerbatimError `RUN_NOT_FOUND`
 */
export async function streamedRunOf(call: EndpointCall, runId: RunId): Promise<RunId> {
  const run = await call.engine.runs.get(call.owner, runId)
  if (run.continuationOf === null) return run.id
  const before = await call.engine.runs.get(call.owner, run.continuationOf)
  return before.status === 'interrupted' ? await streamedRunOf(call, before.id) : run.id
}

/** The caller's session of this id; undefined when there is none. @throws VerbatimError `SESSION_DELETED` */
export async function findSession({ engine, owner }: EndpointCall, id: SessionId): Promise<Session | undefined> {
  return await orMissing('SESSION_NOT_FOUND', engine.sessions.get(owner, id))
}

/** The caller's run of this id; undefined when there is none. */
export async function findRun({ engine, owner }: EndpointCall, id: RunId): Promise<Run | undefined> {
  return await orMissing('RUN_NOT_FOUND', engine.runs.get(owner, id))
}

/** What `call` finds; undefined when it says that nothing is there. */
export async function orMissing<TFound>(code: ErrorCode, call: Promise<TFound>): Promise<TFound | undefined> {
  try {
    return await call
  } catch (error) {
    if (isVerbatimError(error) && error.code === code) return undefined
    throw error
  }
}
