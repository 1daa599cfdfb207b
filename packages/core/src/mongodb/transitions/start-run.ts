import type { ClientSession } from 'mongodb'
import { VerbatimError } from '../../contract/errors.ts'
import { textOf } from '../../contract/content-block.ts'
import type { Owner } from '../../contract/principal.ts'
import type { StartOutcome } from '../../ports/run-repository.ts'
import type { RunDocument } from '../schema/collections.ts'
import { toOwnedRun, toRun } from '../schema/documents.ts'
import { insertRun, newRunDocument, userMessageOf } from './insert-run.ts'
import type { NewRunDocument, Start } from './insert-run.ts'
import { isDuplicateKey, NotCommittedYetError } from '../driver/map-error.ts'
import { runKeyOf } from '../schema/owner-keys.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { queueRun } from './queue-run.ts'
import { busyError, claimHead } from './session-head.ts'
import { inTransaction } from '../driver/transaction.ts'

const maxTitleLength = 80

/** One attempt of the first transaction of a turn; safe to repeat with the same `startId`. */
export async function startRun(storage: MongoContext, owner: Owner, start: Start): Promise<StartOutcome> {
  const lease = { processId: start.offer.processId, ms: start.leaseMs }
  const run = { ...newRunDocument(owner, start, storage.clock.now()), lease }
  try {
    await inTransaction(storage.client, (session) => insertTurn(storage, { owner, start, run }, session))
    return { type: 'started', owned: toOwnedRun(run) }
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    return await whyNotStarted(storage, owner, start)
  }
}

async function insertTurn(
  { collections }: MongoContext,
  { owner, start, run }: { owner: Owner; start: Start; run: NewRunDocument },
  session: ClientSession,
): Promise<void> {
  const claim = {
    owner,
    sessionId: start.sessionId,
    activeRunId: start.runId,
    title: titleOf(start),
    now: run.createdAt,
  }
  const seq = await claimHead(collections.sessions, claim, session)
  await insertRun(collections.runs, run, session)
  const message = userMessageOf(owner, run, { prompt: start.prompt, seq, createdAt: run.createdAt })
  await collections.messages.insertOne(message, { session })
  await collections.runEvents.insertOne(
    { _id: { r: run._id, n: 1 }, b: start.startId, e: [start.startedEvent] },
    { session },
  )
}

async function whyNotStarted(storage: MongoContext, owner: Owner, start: Start): Promise<StartOutcome> {
  const { runs, sessions } = storage.collections
  const found = await runs.findOne({ _id: runKeyOf(owner, start.runId) })
  if (found?.startId === start.startId) return outcomeOfFound(found, start)
  // A deleted session says so here, whatever there was in it.
  const busy = await busyError(sessions, owner, start.sessionId)
  if (found !== null) return outcomeOfFound(found, start)
  if (start.whenBusy === 'reject') {
    // A session that is busy with this run is one whose commit has not reached a majority yet.
    if (busy !== undefined && busy.data.activeRunId !== start.runId) throw busy
  } else {
    const queued = await queueRun(storage, owner, start)
    if (queued !== undefined) return { type: 'queued', ...queued }
  }
  // Lost a race to make the session, or the session has become idle since: the next attempt finds the way free. It also may be
  // this very run that the transaction met, when a majority does not have it yet.
  throw new NotCommittedYetError()
}

/** The run of this id, made by an earlier attempt or an earlier call. @throws VerbatimError `RUN_ID_REUSED` */
export function outcomeOfFound(found: RunDocument, start: Pick<Start, 'inputHash' | 'startId'>): StartOutcome {
  if (found.inputHash !== start.inputHash) {
    throw new VerbatimError('RUN_ID_REUSED', 'This run id was used for another prompt; make a new id', {
      data: { field: 'runId' },
    })
  }
  const isMine = found.startId === start.startId
  if (isMine && found.status === 'running') return { type: 'started', owned: toOwnedRun(found) }
  if (isMine && found.status === 'queued') {
    return { type: 'queued', key: found._id, run: toRun(found), replaced: [], next: undefined }
  }
  return { type: 'existing', run: toRun(found) }
}

/** The first line of the first prompt names the session until somebody renames it. */
function titleOf(start: Start): string {
  const [line = ''] = textOf(start.prompt).trim().split('\n', 1)
  return line.trim().slice(0, maxTitleLength).toWellFormed()
}
