import type { ClientSession } from 'mongodb'
import type { RunId } from '../contract/identifiers.ts'
import type { OwnedRun, RunEnd } from '../ports/run-repository.ts'
import type { MessageDocument } from './collections.ts'
import { isDuplicateKey } from './map-error.ts'
import { messageKeyOf, sessionKeyOf } from './owner-keys.ts'
import type { MongoContext } from './mongo-context.ts'
import { inTransaction } from './transaction.ts'

/** Thrown inside the transaction to undo it: the run is not this writer's any more, or has ended. */
export class NotOursError extends Error {}

/** One attempt of the last transaction of a turn; safe to repeat with the same end. */
export async function finishRun(storage: MongoContext, owned: OwnedRun, end: RunEnd): Promise<'stored' | 'fenced'> {
  try {
    await inTransaction(storage.client, (session) =>
      storeEnd(storage, { owned, end, now: storage.clock.now() }, session),
    )
    return 'stored'
  } catch (error) {
    if (!(error instanceof NotOursError) && !isDuplicateKey(error)) throw error
    return await whoEndedIt(storage, owned, end)
  }
}

/** @param continuedBy the run that the session is busy with from now on; nobody may have asked to cancel this one */
export async function storeEnd(
  { collections }: MongoContext,
  { owned, end, now, continuedBy }: { owned: OwnedRun; end: RunEnd; now: Date; continuedBy?: RunId },
  session: ClientSession,
): Promise<{ head: number }> {
  const { key, owner, run, fence } = owned
  const isContinued = continuedBy !== undefined
  const ended = await collections.runs.updateOne(
    { _id: key, status: 'running', fence, ...(isContinued ? { cancelRequestedAt: null } : {}) },
    {
      $set: {
        status: end.status,
        lastSeq: end.seq,
        error: end.error,
        metrics: end.metrics,
        endedAt: now,
        toArchive: true,
        ...(isContinued ? { continuedBy } : {}),
      },
    },
    { session },
  )
  if (ended.matchedCount === 0) throw new NotOursError()
  const entry = { _id: { r: key, n: firstSeqOf(end) }, b: end.batchId, e: [...(end.before ?? []), end.event] }
  await collections.runEvents.insertOne(entry, { session })
  const released = await collections.sessions.findOneAndUpdate(
    { _id: sessionKeyOf(owner, run.sessionId), activeRunId: run.id },
    { $inc: { head: 1 }, $set: { activeRunId: continuedBy ?? null, updatedAt: now } },
    { session, returnDocument: 'after', projection: { head: 1 } },
  )
  if (released === null) throw new NotOursError()
  await collections.messages.insertOne(assistantMessage(owned, end, { seq: released.head, createdAt: now }), {
    session,
  })
  return released
}

function firstSeqOf({ seq, before = [] }: RunEnd): number {
  return seq - before.length
}

/** The terminal event's entry tells whether an earlier attempt of this end was committed. */
export async function whoEndedIt(
  { collections }: MongoContext,
  owned: OwnedRun,
  end: RunEnd,
): Promise<'stored' | 'fenced'> {
  const _id = { r: owned.key, n: firstSeqOf(end) }
  const terminal = await collections.runEvents.findOne({ _id }, { projection: { b: 1 } })
  return terminal?.b === end.batchId ? 'stored' : 'fenced'
}

function assistantMessage(
  { owner, run }: OwnedRun,
  end: RunEnd,
  at: { seq: number; createdAt: Date },
): MessageDocument {
  return {
    _id: messageKeyOf(owner, run.messageId),
    s: sessionKeyOf(owner, run.sessionId),
    b: 'main',
    seq: at.seq,
    id: run.messageId,
    sessionId: run.sessionId,
    role: 'assistant',
    content: [...end.content],
    status: end.status,
    agentId: run.agentId,
    runId: run.id,
    ...(run.continues === null ? {} : { continues: run.continues }),
    ...(run.retries === null ? {} : { retries: run.retries }),
    metrics: end.metrics,
    createdAt: at.createdAt,
    v: 1,
  }
}
