/**
 * Messages whose retention is over go turn by turn, the oldest first: what is left of a session begins with a user message, keeps its
 * places, and pages as before. A session in which all is old is not cut but deleted as a whole, by the caller.
 */
import { ownerOf } from '../../contract/principal.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import { attachmentsOf, releaseAttachments } from '../attachments/remove-attachments.ts'
import { inTransaction } from '../driver/transaction.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AuditDocument, Collections, MessageDocument, SessionDocument } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { known } from '../schema/version.ts'

/** What one round looks at, and one transaction removes. */
const maxPerBatch = 500

/** Where a look at old messages goes on. */
export type AgeCursor = Pick<MessageDocument, '_id' | 'createdAt'>

export interface ExpiryRound {
  /** Where the next round begins; undefined after the last. */
  readonly next: AgeCursor | undefined
  /** Sessions in which nothing has happened since. */
  readonly idle: readonly { readonly owner: Owner; readonly sessionId: SessionId }[]
}

/** One attempt of a round: looks at the next old messages, and cuts their sessions. */
export async function expireMessages(
  storage: MongoContext,
  { before, after }: { before: Date; after: AgeCursor | undefined },
): Promise<ExpiryRound> {
  const { messages, sessions } = storage.collections
  const past = after && {
    $or: [{ createdAt: { $gt: after.createdAt } }, { createdAt: after.createdAt, _id: { $gt: after._id } }],
  }
  const old = await messages
    .find({ $and: [{ createdAt: { $lt: before } }, past ?? {}] }, { projection: { s: 1, createdAt: 1 } })
    .sort({ createdAt: 1, _id: 1 })
    .limit(maxPerBatch)
    .toArray()
  const keys = [...new Set(old.map((message) => message.s))]
  // A deleted session is the purge's, and what a newer server has stored is that server's.
  const living = { _id: { $in: keys }, deletedAt: { $exists: false }, ...known }
  const idle: ExpiryRound['idle'][number][] = []
  for await (const session of sessions.find(living, { projection: sessionFields })) {
    if (isIdle(session, before)) idle.push(ownOf(session))
    else await cutSession(storage, session, before)
  }
  const last = old.length === maxPerBatch ? old.at(-1) : undefined
  return { next: last && { _id: last._id, createdAt: last.createdAt }, idle }
}

const sessionFields = { tenantId: 1, ownerId: 1, id: 1, activeRunId: 1, updatedAt: 1 } as const

type Living = Pick<SessionDocument, '_id' | 'tenantId' | 'ownerId' | 'id' | 'activeRunId' | 'updatedAt'>

function isIdle({ activeRunId, updatedAt }: Living, before: Date): boolean {
  return activeRunId === null && updatedAt < before
}

function ownOf({ tenantId, ownerId, id: sessionId }: Living): ExpiryRound['idle'][number] {
  return { owner: ownerOf({ tenantId, userId: ownerId, scopes: [] }), sessionId }
}

/** Removes the old turns of a session that goes on. */
async function cutSession(storage: MongoContext, session: Living, before: Date): Promise<void> {
  const { messages } = storage.collections
  const keepFrom = await firstKept(storage.collections, session._id, before)
  if (keepFrom === undefined) return
  while (true) {
    const batch = await messages
      .find({ s: session._id, b: 'main', seq: { $lt: keepFrom }, ...known }, { projection: { _id: 1, attachments: 1 } })
      .limit(maxPerBatch)
      .toArray()
    if (batch.length === 0) return
    await removeMessages(storage, session.tenantId, batch)
  }
}

/** The seq of the first message that stays: the beginning of the turn of the first one that is not old, or of the newest turn. */
async function firstKept(
  { messages }: Pick<Collections, 'messages'>,
  s: SessionKey,
  before: Date,
): Promise<number | undefined> {
  const [young] = await messages
    .find({ s, b: 'main', createdAt: { $gte: before } }, { projection: { seq: 1 } })
    .sort({ seq: 1 })
    .limit(1)
    .toArray()
  const upTo = young === undefined ? {} : { seq: { $lte: young.seq } }
  // The prompt of a continuation is the server's, in the middle of a turn.
  const [prompt] = await messages
    .find({ s, b: 'main', role: 'user', continuationOf: { $exists: false }, ...upTo }, { projection: { seq: 1 } })
    .sort({ seq: -1 })
    .limit(1)
    .toArray()
  return (prompt ?? young)?.seq
}

/** One transaction, so that a message is in one receipt, however many processes sweep at once and wherever they stop. */
async function removeMessages(
  storage: MongoContext,
  tenantId: string,
  batch: readonly Pick<MessageDocument, '_id' | 'attachments'>[],
): Promise<void> {
  const { client, collections, clock } = storage
  const receipt = await inTransaction(client, async (session): Promise<AuditDocument | undefined> => {
    const keys = batch.map(({ _id }) => _id)
    const { deletedCount } = await collections.messages.deleteMany({ _id: { $in: keys } }, { session })
    if (deletedCount === 0) return undefined
    await releaseAttachments(collections, attachmentsOf(batch), { now: clock.now(), session })
    const expired: AuditDocument = {
      _id: crypto.randomUUID(),
      tenantId,
      actor: null,
      action: 'messages_expired',
      target: null,
      counts: { messages: deletedCount },
      at: clock.now(),
      v: 1,
    }
    await collections.audit.insertOne(expired, { session })
    return expired
  })
  if (receipt !== undefined) announce(storage.audit, [receipt])
}
