/** Sessions and messages in MongoDB. Every filter is built here, from keys that hold the owner (promise P7). */
import { isDeepStrictEqual } from 'node:util'
import { VerbatimError } from '../contract/errors.ts'
import type { SessionId } from '../contract/identifiers.ts'
import { rateLimited } from '../contract/limit-error.ts'
import type { Message } from '../contract/message.ts'
import { maxPageBytes } from '../contract/page.ts'
import type { Page } from '../contract/page.ts'
import type { Owner } from '../contract/principal.ts'
import type { Session } from '../contract/session.ts'
import type { MessagesRequest, NewMessage, PageRequest, SessionRepository } from '../ports/session-repository.ts'
import { majorityBarrier, findLinearizable } from './schema/read-barrier.ts'
import type { MessageDocument, SessionDocument } from './schema/collections.ts'
import { toMessage, toSession } from './schema/documents.ts'
import { fromStoredContent, toStoredContent } from './schema/stored-json.ts'
import { insertDocument } from './driver/insert.ts'
import { isDuplicateKey, NotCommittedYetError } from './driver/map-error.ts'
import type { ContentWriter } from './schema/content-cipher.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { messageKeyOf, sessionKeyOf } from './schema/owner-keys.ts'
import { known, requireKnown } from './schema/version.ts'
import { fromSeqCursor, fromTimeCursor, toPage, toTimeCursor } from './driver/paging.ts'
import { createFittingCounts, readBounded } from './driver/read-bounded.ts'
import type { FittingCounts } from './driver/read-bounded.ts'
import { retryRequest } from './driver/retry.ts'
import type { TakeTurn } from './driver/take-turn.ts'
import { bindAttachments, namedAttachments, requireMissing } from './transitions/bind-attachments.ts'
import { admit, newSession, notDeleted, requireNotErasing, toError } from './transitions/admit-run.ts'
import { redactMessage } from './transitions/redact-message.ts'
import { placeOf, takeRoomForSession } from './transitions/require-room.ts'
import { AbortTransition, tryTransition } from './driver/transaction.ts'

export function createSessionRepository(storage: MongoContext, takeTurn: TakeTurn): SessionRepository {
  const {
    collections: { sessions, messages },
    cipher,
  } = storage
  const fitting = createFittingCounts()
  return {
    createSession: (owner, session) =>
      session.limits?.principalSessions === undefined
        ? retryRequest(() => createSession(storage, owner, session))
        : takeTurn(placeOf(owner, session), () => createLimitedSession(storage, owner, session)),
    async getSession(owner, sessionId) {
      const _id = sessionKeyOf(owner, sessionId)
      const found = await retryRequest(() => findLinearizable(storage.collections, () => sessions.findOne({ _id })))
      return found === null ? undefined : await toSession(cipher, found)
    },
    listSessions: (owner, page) => listSessions(storage, owner, page),
    renameSession: (owner, sessionId, title) =>
      takeTurn({ owner, sessionId }, () => renameSession(storage, owner, { sessionId, title })),
    appendMessage: (owner, message) => takeTurn(placeOf(owner, message), () => appendMessage(storage, owner, message)),
    async redactMessage(owner, redaction) {
      const auditId = crypto.randomUUID()
      return await takeTurn(placeOf(owner, redaction), () => redactMessage(storage, owner, { ...redaction, auditId }))
    },
    async getMessage(owner, sessionId, messageId) {
      const filter = { _id: messageKeyOf(owner, sessionId, messageId), s: sessionKeyOf(owner, sessionId) }
      const found = await retryRequest(() => findLinearizable(storage.collections, () => messages.findOne(filter)))
      return found === null ? undefined : await toMessage(cipher, found)
    },
    listMessages: (owner, sessionId, page) => listMessages(storage, { owner, sessionId, fitting }, page),
  }
}

type NewSession = Parameters<SessionRepository['createSession']>[1]

async function createSession(storage: MongoContext, owner: Owner, session: NewSession): Promise<Session> {
  const { collections, cipher } = storage
  await requireNotErasing(collections.erasures, owner)
  const created = await newSessionDocument(storage, owner, session)
  try {
    await insertDocument(collections.sessions, created)
    return await toSession(cipher, created)
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    const found = await collections.sessions.findOne({ _id: created._id })
    if (found === null) throw new NotCommittedYetError()
    return await toSession(cipher, found)
  }
}

/** {@link createSession} for an owner with a limit, in the transaction that counts the owner's sessions. */
async function createLimitedSession(storage: MongoContext, owner: Owner, input: NewSession): Promise<Session> {
  const { client, collections, cipher } = storage
  const created = await newSessionDocument(storage, owner, input)
  const find = async () => await collections.sessions.findOne({ _id: created._id })
  const before = await find()
  if (before !== null) return await toSession(cipher, before)
  const stored = await tryTransition(client, async (session, writes) => {
    await requireNotErasing(collections.erasures, owner, session)
    const hasRoom = await takeRoomForSession(collections, { owner, limits: input.limits }, { session, writes })
    if (!hasRoom) throw rateLimited('principal', 'sessions')
    await insertDocument(collections.sessions, created, { session })
    return created
  })
  const found = stored ?? (await find())
  if (found === null) throw new NotCommittedYetError()
  return await toSession(cipher, found)
}

async function newSessionDocument(
  { clock, cipher }: MongoContext,
  owner: Owner,
  session: NewSession,
): Promise<SessionDocument> {
  const now = clock.now()
  const _id = sessionKeyOf(owner, session.sessionId)
  // A title is content, and only content needs a key.
  const title = session.title === null ? null : (await cipher.writerFor(owner)).title(_id, session.title)
  const made = newSession(owner, session.sessionId, title)
  return { _id, ...made, head: 0, activeRunId: null, createdAt: now, updatedAt: now }
}

/**
 * One attempt. The document is taken out and inserted again: an update would hold the title, and so might the log of mongod (see
 * insert.ts).
 */
async function renameSession(
  { client, collections, clock, cipher }: MongoContext,
  owner: Owner,
  session: { sessionId: SessionId; title: string | null },
): Promise<Session | undefined> {
  const { sessions } = collections
  const _id = sessionKeyOf(owner, session.sessionId)
  const title = (await cipher.writerFor(owner)).title(_id, session.title)
  const renamed = await tryTransition(client, async (transaction) => {
    const taken = await sessions.findOneAndDelete({ _id, ...notDeleted, ...known }, { session: transaction })
    if (taken === null) throw new AbortTransition()
    const document = { ...taken, title, rev: (taken.rev ?? 0) + 1, updatedAt: clock.now() }
    await insertDocument(sessions, document, { session: transaction })
    return document
  })
  if (renamed !== undefined) return await toSession(cipher, renamed)
  const found = await findLinearizable(collections, () => sessions.findOne({ _id }))
  if (found === null) return undefined
  requireKnown(found)
  if (found.deletedAt === undefined) throw new NotCommittedYetError()
  return await toSession(cipher, found)
}

async function listSessions({ collections, cipher }: MongoContext, owner: Owner, page: PageRequest) {
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
  return await toPage(found, page.limit, {
    toItem: (document) => toSession(cipher, document),
    toCursor: (document) => toTimeCursor(document.updatedAt, document._id),
  })
}

async function listMessages(
  { collections, cipher }: MongoContext,
  { owner, sessionId, fitting }: { owner: Owner; sessionId: SessionId; fitting: FittingCounts },
  { upToSeq = Number.MAX_SAFE_INTEGER, isLinearizable = false, maxBytes = maxPageBytes, ...page }: MessagesRequest,
): Promise<Page<Message>> {
  const after = page.cursor ? fromSeqCursor(page.cursor) : undefined
  const past = after === undefined ? {} : page.order === 'oldest' ? { $gt: after } : { $lt: after }
  const { documents, last, isMore } = await retryRequest(async () => {
    if (isLinearizable) await majorityBarrier(collections)
    const place = sessionKeyOf(owner, sessionId)
    return await fitting.read(place, page.limit, async (expected) => {
      return await readBounded(collections.messages, {
        filter: { s: place, b: 'main', seq: { $lte: upToSeq, ...past } },
        sort: { seq: page.order === 'oldest' ? 1 : -1 },
        limit: page.limit,
        maxBytes,
        bulk: 'content',
        expected,
      })
    })
  })
  const items = await Promise.all(documents.map((document) => toMessage(cipher, document)))
  return { items, nextCursor: isMore && last !== undefined ? String(last.seq) : null }
}

/** One attempt; a repeated one finds the message that an earlier one stored. */
async function appendMessage(storage: MongoContext, owner: Owner, message: NewMessage): Promise<Message> {
  const { messages } = storage.collections
  const writer = await storage.cipher.writerFor(owner)
  const document = newMessageDocument(owner, message, { writer, now: storage.clock.now() })
  const named = namedAttachments(owner, message.content)
  let moved: VerbatimError | undefined
  const tried = await tryTransition(storage.client, async (session, writes) => {
    const { sessionId, limits } = message
    const request = { owner, sessionId, limits, runId: null, ...ofMessage, now: document.createdAt }
    const admission = await admit(storage.collections, request, { session, writes })
    if (admission.type !== 'idle') return toError(admission)
    const { head: seq } = admission
    if (message.expectedHead !== undefined && seq !== message.expectedHead + 1) {
      moved = headMoved(seq - 1)
      throw new AbortTransition()
    }
    await bindAttachments(storage.collections, named, session)
    await insertDocument(messages, { ...document, ...named, seq }, { session })
    return seq
  }).catch(async (error: unknown) => {
    await requireMissing(storage.collections, named, error)
    throw error
  })
  if (typeof tried === 'number') return await toMessage(storage.cipher, { ...document, seq: tried })
  // The head may have moved by this very message: an earlier attempt or an earlier call.
  const same = await findSameMessage(storage, document, message)
  if (same !== undefined) return same
  // Without a reason, the transaction met one that a majority does not have yet.
  throw tried ?? moved ?? new NotCommittedYetError()
}

/** A message asks a session as a run does that will not wait. */
const ofMessage = { whenBusy: 'reject', maxQueuedRuns: 0, newMessages: 1, title: null } as const

function newMessageDocument(
  owner: Owner,
  message: NewMessage,
  { writer, now }: { writer: ContentWriter; now: Date },
): Omit<MessageDocument, 'seq'> {
  const _id = messageKeyOf(owner, message.sessionId, message.messageId)
  return {
    _id,
    s: sessionKeyOf(owner, message.sessionId),
    b: 'main',
    id: message.messageId,
    sessionId: message.sessionId,
    role: message.role,
    content: writer.content(_id, message.content),
    status: message.status,
    agentId: message.agentId,
    runId: null,
    metrics: message.metrics,
    createdAt: now,
    v: 1,
  }
}

async function findSameMessage(
  { collections, cipher }: MongoContext,
  { _id, s }: Omit<MessageDocument, 'seq'>,
  { content, role, status, agentId, metrics }: NewMessage,
): Promise<Message | undefined> {
  const found = await findLinearizable(collections, () => collections.messages.findOne({ _id, s }))
  if (found === null) return undefined
  const stored = await toMessage(cipher, found)
  // As it would be read: JSON does not keep every number as it was given.
  const isSame = isDeepStrictEqual(
    [stored.role, stored.status, stored.agentId, stored.metrics, stored.content],
    [role, status, agentId, metrics, fromStoredContent(toStoredContent(content))],
  )
  if (!isSame)
    throw new VerbatimError('MESSAGE_ID_REUSED', 'This message id holds another message; make a new id', {
      data: { field: 'messageId' },
    })
  return stored
}

function headMoved(head: number): VerbatimError {
  return new VerbatimError('HEAD_MOVED', `The session has ${head} messages by now; load them, then append again`)
}
