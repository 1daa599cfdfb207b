/**
 * Admission: one statement on the session document decides what becomes of a run or a message, and writes the decision (P5).
 * The session's `queue` is the order, so admission is first come, first served by the order of commits, whatever the clocks say.
 * The statement holds no text of the caller's: MongoDB logs a statement that meets another transaction (see insert.ts).
 */
import type { ClientSession } from 'mongodb'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import { rateLimited } from '../../contract/limit-error.ts'
import type { RunId, SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { WhenBusy } from '../../contract/run.ts'
import type { StoredLimits } from '../../ports/run-repository.ts'
import type { Collections, SessionDocument } from '../schema/collections.ts'
import { principalKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import type { StoredTitle } from '../schema/stored-json.ts'
import { documentVersion, newerDocument } from '../schema/version.ts'
import { takeRoomForSession } from './require-room.ts'
import type { Counting } from './require-room.ts'

/** A filter that a deleted session does not match. */
export const notDeleted = { deletedAt: { $exists: false } } as const

/** What an update by pipeline stores as `rev`. */
export const nextRevision = { $add: [{ $ifNull: ['$rev', 0] }, 1] }

export interface AdmissionRequest {
  readonly owner: Owner
  readonly sessionId: SessionId
  /** The run that makes the session busy, or waits in it; null for a message without a run. */
  readonly runId: RunId | null
  readonly whenBusy: WhenBusy
  /** How many runs may wait in the session. */
  readonly maxQueuedRuns: number
  /** How many messages the transaction inserts when the session is idle. */
  readonly newMessages: 0 | 1
  /** The title of a session that the admission makes. */
  readonly title: StoredTitle
  readonly now: Date
  readonly limits: StoredLimits | undefined
}

/** What an admission depends on. */
const admittingFields = { head: 1, title: 1, activeRunId: 1, queue: 1, deletedAt: 1, v: 1 } as const

/** A session before its admission. */
type Admitting = Pick<SessionDocument, keyof typeof admittingFields>

/** What the session answers; only the first three have changed it. */
export type Admission =
  /** The session was idle, or new. `head` is the seq of the newest message, the one to insert included. */
  | { readonly type: 'idle'; readonly head: number; readonly title: StoredTitle }
  | { readonly type: 'queued' }
  /** The run comes next. The runs of `before` are to be stopped in the same transaction. */
  | { readonly type: 'replaced'; readonly before: Admitting }
  | { readonly type: 'busy' | 'full'; readonly activeRunId: RunId }
  /** The run has the session, or waits in it already. */
  | { readonly type: 'present' }
  | { readonly type: 'deleted' }
  /** Not the session's state, but what is around it: a limit, an erasure, a file that is not there. */
  | { readonly type: 'prevented'; readonly error: VerbatimError }
  /** A newer server has made or changed the session. */
  | { readonly type: 'newer' }

/** An admission that has changed nothing. */
export type Refusal = Exclude<Admission, { type: 'idle' | 'queued' | 'replaced' }>

/** Admits the request to its session, making the session when it is new. */
export async function admit(
  collections: Collections,
  request: AdmissionRequest,
  { session, writes }: Counting,
): Promise<Admission> {
  const { sessions, erasures } = collections
  const _id = sessionKeyOf(request.owner, request.sessionId)
  const before = await sessions.findOneAndUpdate({ _id }, admissionUpdate(request), {
    session,
    returnDocument: 'before',
    projection: admittingFields,
  })
  if (before !== null) return admissionOf(before, request)
  if (await isErasing(erasures, request.owner, session)) return { type: 'prevented', error: principalErasing() }
  if (!(await takeRoomForSession(collections, request, { session, writes }))) {
    return { type: 'prevented', error: rateLimited('principal', 'sessions') }
  }
  const { owner, sessionId, title, newMessages: head, runId: activeRunId, now } = request
  const made = { ...newSession(owner, sessionId, title), head, activeRunId, createdAt: now, updatedAt: now }
  writes.insert(sessions, { _id, ...made })
  return { type: 'idle', head, title }
}

/** What {@link admit} would answer, without a write; undefined for a session that is new. */
export async function wouldAdmit(
  { sessions }: Pick<Collections, 'sessions'>,
  request: AdmissionRequest,
  session: ClientSession,
): Promise<Admission | undefined> {
  const _id = sessionKeyOf(request.owner, request.sessionId)
  const found = await sessions.findOne({ _id }, { session, projection: admittingFields })
  return found === null ? undefined : admissionOf(found, request)
}

/** How long a caller waits before it asks again, in milliseconds: an erasure takes a lease or longer. */
const erasingRetryMs = 10_000

/**
 * A session that is made meets an erasure of its owner here. One that is made at the same moment, by a transaction that does not see the
 * erasure yet, is erased with the others: the erasure looks once more when that transaction is long over.
 *
 * @throws VerbatimError `PRINCIPAL_ERASING`
 */
export async function requireNotErasing(
  erasures: Collections['erasures'],
  owner: Owner,
  session?: ClientSession,
): Promise<void> {
  if (await isErasing(erasures, owner, session)) throw principalErasing()
}

async function isErasing(erasures: Collections['erasures'], owner: Owner, session?: ClientSession): Promise<boolean> {
  const options = session === undefined ? {} : { session }
  return (await erasures.findOne({ _id: principalKeyOf(owner) }, { ...options, projection: { _id: 1 } })) !== null
}

function principalErasing(): VerbatimError {
  return errorOf('PRINCIPAL_ERASING', { data: { retryAfterMs: erasingRetryMs } })
}

/** {@link admissionOf} for the database: the same decision, written. */
function admissionUpdate({ runId, whenBusy, maxQueuedRuns, newMessages, now }: AdmissionRequest) {
  const run = { $literal: runId }
  const waiting = { $ifNull: ['$queue', []] }
  const isClosed = { $or: [{ $ne: [{ $type: '$deletedAt' }, 'missing'] }, { $gt: ['$v', documentVersion] }] }
  const isIdle = { $eq: ['$activeRunId', null] }
  const isPresent = { $or: [{ $eq: ['$activeRunId', run] }, { $in: [run, waiting] }] }
  const write = (fields: object) => ({ $mergeObjects: ['$$ROOT', fields, { rev: nextRevision, updatedAt: now }] })
  const asBefore = '$$ROOT'
  const isFull = { $gte: [{ $size: waiting }, maxQueuedRuns] }
  const ifBusy = {
    reject: asBefore,
    queue: { $cond: [isFull, asBefore, write({ queue: { $concatArrays: [waiting, [run]] } })] },
    replace: write({ queue: [run] }),
  }
  const ifTaken = { $cond: [isPresent, asBefore, ifBusy[whenBusy]] }
  const ifIdle = write({ head: { $add: ['$head', newMessages] }, activeRunId: run })
  return [{ $replaceWith: { $cond: [isClosed, asBefore, { $cond: [isIdle, ifIdle, ifTaken] }] } }]
}

function admissionOf(before: Admitting, { runId, whenBusy, maxQueuedRuns, newMessages }: AdmissionRequest): Admission {
  const { head, title, activeRunId, queue = [], deletedAt, v } = before
  if (v > documentVersion) return { type: 'newer' }
  if (deletedAt !== undefined) return { type: 'deleted' }
  if (activeRunId === null) return { type: 'idle', head: head + newMessages, title }
  if (runId !== null && [activeRunId, ...queue].includes(runId)) return { type: 'present' }
  switch (whenBusy) {
    case 'reject':
      return { type: 'busy', activeRunId }
    case 'queue':
      return queue.length < maxQueuedRuns ? { type: 'queued' } : { type: 'full', activeRunId }
    case 'replace':
      return { type: 'replaced', before }
  }
}

/** The fields of a session that never change, and its first title. */
export function newSession(owner: Owner, sessionId: SessionId, title: StoredTitle) {
  return {
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    id: sessionId,
    title,
    v: 1,
  } as const satisfies Partial<SessionDocument>
}

export function isRefusal(admission: Admission): admission is Refusal {
  return admission.type !== 'idle' && admission.type !== 'queued' && admission.type !== 'replaced'
}

/** Why the session takes nothing in. */
export function toError(refusal: Exclude<Admission, { type: 'idle' }>): Error {
  switch (refusal.type) {
    case 'deleted':
      return errorOf('SESSION_DELETED')
    case 'newer':
      return newerDocument()
    case 'prevented':
      return refusal.error
    case 'full':
      return new VerbatimError('SESSION_BUSY', 'As many prompts wait in this session as may; wait for an answer', {
        data: { activeRunId: refusal.activeRunId, kind: 'queue_full' },
      })
    case 'busy':
      return new VerbatimError(
        'SESSION_BUSY',
        'A run is active in this session; follow it, cancel it or wait for its end',
        { data: { activeRunId: refusal.activeRunId } },
      )
    default:
      return new Error('A session names a run that is not stored')
  }
}
