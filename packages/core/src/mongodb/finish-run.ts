import type { ClientSession } from 'mongodb'
import type { FinishOutcome, Offer, OwnedRun, RunEnd } from '../ports/run-repository.ts'
import type { MessageDocument } from './collections.ts'
import { findOffered, handOver } from './hand-over.ts'
import { isDuplicateKey } from './map-error.ts'
import { messageKeyOf, sessionKeyOf } from './owner-keys.ts'
import type { MongoContext } from './mongo-context.ts'
import { inTransaction } from './transaction.ts'

/** Thrown inside the transaction to undo it: the run is not this writer's any more, or has ended. */
class NotOursError extends Error {}

interface Finish {
  readonly owned: OwnedRun
  readonly end: RunEnd
  readonly offer: Offer
}

/** One attempt of the last transaction of a turn; safe to repeat with the same end. */
export async function finishRun(storage: MongoContext, finish: Finish): Promise<FinishOutcome> {
  try {
    const next = await inTransaction(storage.client, (session) => storeEnd(storage, finish, session))
    return { type: 'stored', next }
  } catch (error) {
    if (!(error instanceof NotOursError) && !isDuplicateKey(error)) throw error
    return await whoEndedIt(storage, finish)
  }
}

async function storeEnd(
  { collections, clock }: MongoContext,
  { owned, end, offer }: Finish,
  session: ClientSession,
): Promise<OwnedRun | undefined> {
  const { key, owner, run, fence } = owned
  const now = clock.now()
  const ended = await collections.runs.updateOne(
    { _id: key, status: 'running', fence },
    {
      $set: {
        status: end.status,
        lastSeq: end.seq,
        error: end.error,
        metrics: end.metrics,
        endedAt: now,
        toArchive: true,
      },
    },
    { session },
  )
  if (ended.matchedCount === 0) throw new NotOursError()
  await collections.runEvents.insertOne({ _id: { r: key, n: end.seq }, b: end.batchId, e: [end.event] }, { session })
  const sessionKey = sessionKeyOf(owner, run.sessionId)
  const handover = { owner, sessionKey, from: run.id, addsMessage: true, offer, now }
  const released = await handOver(collections, handover, session)
  if (released === undefined) throw new NotOursError()
  await collections.messages.insertOne(assistantMessage(owned, end, { seq: released.head, createdAt: now }), {
    session,
  })
  return released.next
}

/** The terminal event's entry tells whether an earlier attempt of this end was committed. */
async function whoEndedIt({ collections }: MongoContext, { owned, end, offer }: Finish): Promise<FinishOutcome> {
  const terminal = await collections.runEvents.findOne({ _id: { r: owned.key, n: end.seq } }, { projection: { b: 1 } })
  if (terminal?.b !== end.batchId) return { type: 'fenced' }
  const sessionKey = sessionKeyOf(owned.owner, owned.run.sessionId)
  return { type: 'stored', next: await findOffered(collections, { owner: owned.owner, sessionKey, offer }) }
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
    metrics: end.metrics,
    createdAt: at.createdAt,
    v: 1,
  }
}
