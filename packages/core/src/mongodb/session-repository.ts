/** Sessions and messages in MongoDB. Every filter is built here, from keys that hold the owner (promise P7). */
import { isDeepStrictEqual } from 'node:util'
import { VerbatimError } from '../contract/errors.ts'
import type { SessionId } from '../contract/identifiers.ts'
import type { Message } from '../contract/message.ts'
import type { Owner } from '../contract/principal.ts'
import type { Session } from '../contract/session.ts'
import type { SessionKey } from '../ports/deletion-repository.ts'
import type { MessagesRequest, NewMessage, PageRequest, SessionRepository } from '../ports/session-repository.ts'
import { majorityBarrier, findLinearizable } from './schema/read-barrier.ts'
import type { MessageDocument, SessionDocument } from './schema/collections.ts'
import { toMessage, toSession } from './schema/documents.ts'
import { fromStoredContent, toStoredContent } from './schema/stored-json.ts'
import { insertDocument } from './driver/insert.ts'
import { isDuplicateKey, NotCommittedYetError } from './driver/map-error.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { messageKeyOf, sessionKeyOf } from './schema/owner-keys.ts'
import { fromSeqCursor, fromTimeCursor, toPage, toTimeCursor } from './driver/paging.ts'
import { retryRequest } from './driver/retry.ts'
import type { TakeTurn } from './driver/take-turn.ts'
import { admit, newSession, notDeleted, requireNotErasing, toError } from './transitions/admit-run.ts'
import { AbortTransition, tryTransition } from './driver/transaction.ts'

export function createSessionRepository(storage: MongoContext, takeTurn: TakeTurn): SessionRepository {
  const { sessions, messages } = storage.collections
  return {
    createSession: (owner, session) => retryRequest(() => createSession(storage, owner, session)),
    async getSession(owner, sessionId) {
      const _id = sessionKeyOf(owner, sessionId)
      const found = await retryRequest(() => findLinearizable(storage.collections, () => sessions.findOne({ _id })))
      return found === null ? undefined : toSession(found)
    },
    listSessions: (owner, page) => listSessions(storage, owner, page),
    renameSession: (owner, sessionId, title) =>
      takeTurn({ owner, sessionId }, () => renameSession(storage, sessionKeyOf(owner, sessionId), title)),
    appendMessage: (owner, message) =>
      takeTurn({ owner, sessionId: message.sessionId }, () => appendMessage(storage, owner, message)),
    async getMessage(owner, sessionId, messageId) {
      const filter = { _id: messageKeyOf(owner, sessionId, messageId) }
      const found = await retryRequest(() => findLinearizable(storage.collections, () => messages.findOne(filter)))
      return found === null ? undefined : toMessage(found)
    },
    listMessages: (owner, sessionId, page) => listMessages(storage, { owner, sessionId }, page),
  }
}

async function createSession(
  { collections, clock }: MongoContext,
  owner: Owner,
  session: { sessionId: SessionId; title: string | null },
): Promise<Session> {
  await requireNotErasing(collections.erasures, owner)
  const now = clock.now()
  const created: SessionDocument = {
    _id: sessionKeyOf(owner, session.sessionId),
    ...newSession(owner, session.sessionId, session.title),
    head: 0,
    activeRunId: null,
    createdAt: now,
    updatedAt: now,
  }
  try {
    await insertDocument(collections.sessions, created)
    return toSession(created)
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    const found = await collections.sessions.findOne({ _id: created._id })
    if (found === null) throw new NotCommittedYetError()
    return toSession(found)
  }
}

/**
 * One attempt. The document is taken out and inserted again: an update would hold the title, and so might the log of mongod (see
 * insert.ts).
 */
async function renameSession(
  { client, collections, clock }: MongoContext,
  _id: SessionKey,
  title: string | null,
): Promise<Session | undefined> {
  const { sessions } = collections
  const renamed = await tryTransition(client, async (session) => {
    const taken = await sessions.findOneAndDelete({ _id, ...notDeleted }, { session })
    if (taken === null) throw new AbortTransition()
    const document = { ...taken, title, updatedAt: clock.now() }
    await insertDocument(sessions, document, { session })
    return document
  })
  if (renamed !== undefined) return toSession(renamed)
  const found = await findLinearizable(collections, () => sessions.findOne({ _id }))
  if (found === null) return undefined
  if (found.deletedAt === undefined) throw new NotCommittedYetError()
  return toSession(found)
}

async function listSessions({ collections }: MongoContext, owner: Owner, page: PageRequest) {
  const after = page.cursor ? fromTimeCursor(page.cursor) : undefined
  const past = after && {
    $or: [{ updatedAt: { $lt: after.time } }, { updatedAt: after.time, _id: { $lt: after.key as never } }],
  }
  const found = await retryRequest(() =>
    collections.sessions
      .find({ tenantId: owner.tenantId, ownerId: owner.ownerId, ...past })
      .sort({ updatedAt: -1, _id: -1 })
      .limit(page.limit + 1)
      .toArray(),
  )
  return toPage(found, page.limit, {
    toItem: toSession,
    toCursor: (document) => toTimeCursor(document.updatedAt, document._id),
  })
}

async function listMessages(
  { collections }: MongoContext,
  { owner, sessionId }: { owner: Owner; sessionId: SessionId },
  { upToSeq = Number.MAX_SAFE_INTEGER, isLinearizable = false, ...page }: MessagesRequest,
) {
  const after = page.cursor ? fromSeqCursor(page.cursor) : undefined
  const past = after === undefined ? {} : page.order === 'oldest' ? { $gt: after } : { $lt: after }
  const found = await retryRequest(async () => {
    if (isLinearizable) await majorityBarrier(collections)
    return await collections.messages
      .find({ s: sessionKeyOf(owner, sessionId), b: 'main', seq: { $lte: upToSeq, ...past } })
      .sort({ seq: page.order === 'oldest' ? 1 : -1 })
      .limit(page.limit + 1)
      .toArray()
  })
  return toPage(found, page.limit, { toItem: toMessage, toCursor: (document) => String(document.seq) })
}

/** One attempt; a repeated one finds the message that an earlier one stored. */
async function appendMessage(storage: MongoContext, owner: Owner, message: NewMessage): Promise<Message> {
  const { messages } = storage.collections
  const document = newMessageDocument(owner, message, storage.clock.now())
  let moved: VerbatimError | undefined
  const tried = await tryTransition(storage.client, async (session) => {
    const request = { owner, sessionId: message.sessionId, runId: null, ...ofMessage, now: document.createdAt }
    const admission = await admit(storage.collections, request, session)
    if (admission.type !== 'idle') return toError(admission)
    const { head: seq } = admission
    if (message.expectedHead !== undefined && seq !== message.expectedHead + 1) {
      moved = headMoved(seq - 1)
      throw new AbortTransition()
    }
    await insertDocument(messages, { ...document, seq }, { session })
    return toMessage({ ...document, seq })
  })
  if (tried !== undefined && !(tried instanceof Error)) return tried
  // The head may have moved by this very message: an earlier attempt or an earlier call.
  const same = await findSameMessage(storage, document)
  if (same !== undefined) return same
  // Without a reason, the transaction met one that a majority does not have yet.
  throw tried ?? moved ?? new NotCommittedYetError()
}

/** A message asks a session as a run does that will not wait. */
const ofMessage = { whenBusy: 'reject', maxQueuedRuns: 0, newMessages: 1, title: null } as const

function newMessageDocument(owner: Owner, message: NewMessage, now: Date): Omit<MessageDocument, 'seq'> {
  return {
    _id: messageKeyOf(owner, message.sessionId, message.messageId),
    s: sessionKeyOf(owner, message.sessionId),
    b: 'main',
    id: message.messageId,
    sessionId: message.sessionId,
    role: message.role,
    content: toStoredContent(message.content),
    status: 'completed',
    agentId: null,
    runId: null,
    metrics: null,
    createdAt: now,
    v: 1,
  }
}

async function findSameMessage(
  { collections }: MongoContext,
  document: Omit<MessageDocument, 'seq'>,
): Promise<Message | undefined> {
  const found = await findLinearizable(collections, () => collections.messages.findOne({ _id: document._id }))
  if (found === null) return undefined
  const isSame =
    found.role === document.role && isDeepStrictEqual(toMessage(found).content, fromStoredContent(document.content))
  if (!isSame)
    throw new VerbatimError('MESSAGE_ID_REUSED', 'This message id holds another message; make a new id', {
      data: { field: 'messageId' },
    })
  return toMessage(found)
}

function headMoved(head: number): VerbatimError {
  return new VerbatimError('HEAD_MOVED', `The session has ${head} messages by now; load them, then append again`)
}
