import type { ClientSession } from 'mongodb'
import type { OwnedRun, RunBegin } from '../../ports/run-repository.ts'
import { toEventsDocument, toOwnedRun } from '../schema/documents.ts'
import { fromStoredContent } from '../schema/stored-json.ts'
import { hasSession } from './finish-run.ts'
import { userMessageOf } from './store-beginning.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'

/**
 * One attempt of a queued run's first transaction: what `startRun` does at once, only now. Safe to repeat with the same batch
 * id, and by any process: the run's fence says whose turn it is to try.
 */
export async function beginRun(
  storage: MongoContext,
  queued: OwnedRun,
  begin: RunBegin,
): Promise<OwnedRun | undefined> {
  const begun = await tryTransition(storage.client, (session) => insertTurn(storage, { queued, begin }, session))
  return begun ?? (await whoBeganIt(storage, queued, begin))
}

async function insertTurn(
  { collections, clock }: MongoContext,
  { queued, begin }: { queued: OwnedRun; begin: RunBegin },
  session: ClientSession,
): Promise<OwnedRun> {
  const now = clock.now()
  const run = await collections.runs.findOneAndUpdate(
    { _id: queued.key, status: 'queued', fence: queued.fence },
    {
      // Another id from here on: a start that is repeated must not take the run for one that it has begun itself.
      $set: { status: 'running', startId: begin.batchId, 'lease.ms': begin.leaseMs },
      $currentDate: { 'lease.renewedAt': true },
      $unset: { prompt: true },
    },
    { session, returnDocument: 'before' },
  )
  if (run === null) throw new AbortTransition()
  const claimed = await collections.sessions.findOneAndUpdate(
    { _id: run.s, activeRunId: run.id },
    { $inc: { head: 1 }, $set: { updatedAt: now } },
    { session, returnDocument: 'after', projection: { head: 1 } },
  )
  if (claimed === null) throw new AbortTransition()
  const message = userMessageOf(queued.owner, run, {
    prompt: fromStoredContent(run.prompt ?? []),
    seq: claimed.head,
    createdAt: now,
  })
  await collections.messages.insertOne(message, { session })
  await collections.runEvents.insertOne(
    toEventsDocument({ key: run._id, firstSeq: 2, batchId: begin.batchId, events: [begin.event] }),
    { session },
  )
  return toOwnedRun({ ...run, status: 'running' })
}

/** The entry of `run_started` tells whether an earlier attempt of this beginning was committed. */
async function whoBeganIt(
  { collections }: MongoContext,
  queued: OwnedRun,
  begin: RunBegin,
): Promise<OwnedRun | undefined> {
  const started = await collections.runEvents.findOne({ _id: { r: queued.key, n: 2 } }, { projection: { b: 1 } })
  const run = await collections.runs.findOne({ _id: queued.key })
  // By what a majority has it is its turn, and nobody has begun it: what the transaction met may be this very beginning.
  const isOffered = started === null && run?.status === 'queued' && run.fence === queued.fence
  if (isOffered && (await hasSession(collections, run))) throw new NotCommittedYetError()
  return started?.b !== begin.batchId || run === null ? undefined : toOwnedRun(run)
}
