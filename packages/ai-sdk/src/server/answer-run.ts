/** Which run makes an answer. An answer that was continued after a crash begins with the first of its runs. */
import { isVerbatimError } from '@verbatim/core'
import type { ErrorCode, Run, RunId, Session, SessionId } from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'

/** The run that began the answer that `runId` is a part of. @throws VerbatimError `RUN_NOT_FOUND` */
export async function firstRunOf(call: EndpointCall, runId: RunId): Promise<Run> {
  const run = await call.engine.runs.get(call.owner, runId)
  return run.continuationOf === null ? run : await firstRunOf(call, run.continuationOf)
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
