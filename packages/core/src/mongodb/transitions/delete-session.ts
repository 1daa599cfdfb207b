import type { ClientSession } from 'mongodb'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Tombstone, SessionKey } from '../../ports/deletion-repository.ts'
import type { Purge } from '../schema/collections.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { runKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { known, requireKnown } from '../schema/version.ts'
import { notDeleted } from './admit-run.ts'
import { stopRuns } from './stop-runs.ts'
import { inTransaction } from '../driver/transaction.ts'

interface Marking {
  readonly owner: Owner
  readonly key: SessionKey
  readonly purge: Pick<Purge, 'actor' | 'erasure'>
  /** Only when nothing has happened in the session since then. */
  readonly idleSince?: Date | undefined
}

/** One attempt; a tombstone is answered as it is. */
export async function storeTombstone(
  storage: MongoContext,
  owner: Owner,
  { sessionId, purge = { actor: owner.ownerId }, idleSince }: Partial<Marking> & { sessionId: SessionId },
): Promise<Tombstone | undefined> {
  const marking = { owner, key: sessionKeyOf(owner, sessionId), purge, idleSince }
  const marked = await inTransaction(storage.client, (session) => mark(storage, marking, session))
  return marked ?? (await findMarked(storage, marking))
}

async function mark(
  storage: MongoContext,
  { owner, key, purge, idleSince }: Marking,
  session: ClientSession,
): Promise<Tombstone | undefined> {
  const { sessions } = storage.collections
  // Without its owner and title the session is in no list, and no index of lists.
  const left = {
    _id: '$_id',
    head: '$head',
    activeRunId: '$activeRunId',
    queue: [],
    deletedAt: '$$NOW',
    purge: { $literal: { tenantId: owner.tenantId, ...purge } },
    v: '$v',
  }
  const isIdle = idleSince === undefined ? {} : { activeRunId: null, updatedAt: { $lt: idleSince } }
  const before = await sessions.findOneAndUpdate(
    { _id: key, ...notDeleted, ...known, ...isIdle },
    [{ $replaceWith: left }],
    {
      session,
      returnDocument: 'before',
    },
  )
  if (before === null) return undefined
  const stopped = await stopRuns(storage, owner, { before, session })
  return { key, stopped, active: before.activeRunId === null ? undefined : stopped[0], isPurged: false }
}

async function findMarked(
  { collections }: MongoContext,
  { owner, key }: Omit<Marking, 'purge'>,
): Promise<Tombstone | undefined> {
  const found = await collections.sessions.findOne({ _id: key })
  if (found !== null) requireKnown(found)
  if (found?.deletedAt === undefined) return undefined
  const active = found.activeRunId ? runKeyOf(owner, found.activeRunId) : undefined
  return { key, stopped: active === undefined ? [] : [active], active, isPurged: found.purge === undefined }
}
