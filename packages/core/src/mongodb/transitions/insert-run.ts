import type { ClientSession } from 'mongodb'
import type { ContentBlock } from '../../contract/content-block.ts'
import type { Owner } from '../../contract/principal.ts'
import { firstFence } from '../../ports/run-repository.ts'
import type { LinkedRun, NewRun, RepeatedRun } from '../../ports/run-repository.ts'
import type { Collections, MessageDocument, RunDocument } from '../schema/collections.ts'
import { messageKeyOf, runKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'

/** `startId` tells a repeated attempt that an earlier one, whose answer was lost, has stored the run. */
export type Start = NewRun & { readonly startId: string }

/** A run before its insert; `renewedAt` of its lease, if it has one, is the database's to write. */
export type NewRunDocument = Omit<RunDocument, 'lease'> & {
  readonly lease?: { readonly processId: string; readonly ms: number }
}

type RunSeed = Pick<
  Start,
  'runId' | 'sessionId' | 'agentId' | 'userMessageId' | 'messageId' | 'inputHash' | 'startId'
> &
  Partial<Pick<LinkedRun, 'continuationOf' | 'continuationUsage'> & Pick<RepeatedRun, 'retryOf'>>

/** A run that begins at once, or waits when it has a `prompt` to keep. */
export function newRunDocument(owner: Owner, start: RunSeed, now: Date): NewRunDocument {
  const { continuationOf, continuationUsage, retryOf } = start
  return {
    _id: runKeyOf(owner, start.runId),
    s: sessionKeyOf(owner, start.sessionId),
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id: start.runId,
    sessionId: start.sessionId,
    agentId: start.agentId,
    status: 'running',
    inputHash: start.inputHash,
    startId: start.startId,
    userMessageId: start.userMessageId,
    messageId: start.messageId,
    fence: firstFence,
    cancelRequestedAt: null,
    lastSeq: null,
    error: null,
    metrics: null,
    ...(continuationOf === undefined ? {} : { continuationOf }),
    ...(continuationUsage === undefined ? {} : { continuationUsage }),
    ...(retryOf === undefined ? {} : { retryOf }),
    createdAt: now,
    endedAt: null,
    v: 1,
  }
}

/** An upsert only because its `$currentDate` is the database's clock, which leases are measured by. */
export async function insertRun(
  runs: Collections['runs'],
  { _id, startId, lease, ...rest }: NewRunDocument,
  session: ClientSession,
): Promise<void> {
  const update =
    lease === undefined
      ? { $setOnInsert: rest }
      : {
          $setOnInsert: { ...rest, 'lease.processId': lease.processId, 'lease.ms': lease.ms },
          $currentDate: { 'lease.renewedAt': true as const },
        }
  await runs.updateOne({ _id, startId }, update, { upsert: true, session })
}

/** The message that a run answers, at its place in the session. */
export function userMessageOf(
  owner: Owner,
  run: Pick<RunDocument, 's' | 'id' | 'sessionId' | 'userMessageId' | 'continuationOf'>,
  at: { prompt: readonly ContentBlock[]; seq: number; createdAt: Date },
): MessageDocument {
  return {
    _id: messageKeyOf(owner, run.sessionId, run.userMessageId),
    s: run.s,
    b: 'main',
    seq: at.seq,
    id: run.userMessageId,
    sessionId: run.sessionId,
    role: 'user',
    content: [...at.prompt],
    status: 'completed',
    agentId: null,
    runId: run.id,
    ...(run.continuationOf === undefined ? {} : { continuationOf: run.continuationOf }),
    metrics: null,
    createdAt: at.createdAt,
    v: 1,
  }
}
