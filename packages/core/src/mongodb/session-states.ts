/** The states of sessions for their followers. Keys hold the owner, and lists are filtered by it (promise P7). */
import type { Owner } from '../contract/principal.ts'
import { ownerOf } from '../contract/principal.ts'
import type { SessionKey } from '../ports/deletion-repository.ts'
import type { ListProbe, NewestSessions, ProbedSession, SessionRecord, SessionStates } from '../ports/session-states.ts'
import { toTimeCursor } from './driver/paging.ts'
import { retryRequest } from './driver/retry.ts'
import type { SessionDocument } from './schema/collections.ts'
import type { ContentCipher } from './schema/content-cipher.ts'
import { toSession } from './schema/documents.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { principalKeyOf, sessionKeyOf } from './schema/owner-keys.ts'

export function createSessionStates(storage: MongoContext): SessionStates {
  const { sessions } = storage.collections
  return {
    keyOf: sessionKeyOf,
    listKeyOf: principalKeyOf,
    async read(keys) {
      const found = await retryRequest(() => sessions.find({ _id: { $in: [...keys] } }).toArray())
      return found.map((document) => toRecord(storage.cipher, document))
    },
    async readRevisions(keys) {
      const projection = { rev: 1, deletedAt: 1 } as const
      const found = await retryRequest(() => sessions.find({ _id: { $in: [...keys] } }, { projection }).toArray())
      return new Map(found.map(({ _id, rev = 0, deletedAt }) => [_id, deletedAt === undefined ? rev : 'deleted']))
    },
    readNewest: (owner, limit) => readNewest(storage, owner, limit),
    probeLists: (probes) => probeLists(storage, probes),
  }
}

function toRecord(cipher: ContentCipher, document: SessionDocument): SessionRecord {
  const { _id: key, rev: revision = 0, deletedAt } = document
  return { key, revision, isDeleted: deletedAt !== undefined, toSession: () => toSession(cipher, document) }
}

async function readNewest({ collections, cipher }: MongoContext, owner: Owner, limit: number): Promise<NewestSessions> {
  const found = await retryRequest(() =>
    collections.sessions
      .find({ tenantId: owner.tenantId, ownerId: owner.ownerId })
      .sort({ updatedAt: -1, _id: -1 })
      .limit(limit + 1)
      .toArray(),
  )
  const shown = found.slice(0, limit)
  const last = shown.at(-1)
  return {
    records: shown.map((document) => toRecord(cipher, document)),
    nextCursor: found.length > limit && last !== undefined ? toTimeCursor(last.updatedAt, last._id) : null,
  }
}

/** All fields are in the index `owner_newest`, so no document is read. */
const probed = { _id: 1, tenantId: 1, ownerId: 1, updatedAt: 1 } as const

async function probeLists({ collections }: MongoContext, probes: readonly ListProbe[]): Promise<ProbedSession[]> {
  if (probes.length === 0) return []
  const $or = probes.map(({ owner, since }) => ({
    tenantId: owner.tenantId,
    ownerId: owner.ownerId,
    updatedAt: { $gte: since },
  }))
  const found = await retryRequest(() => collections.sessions.find({ $or }, { projection: probed }).toArray())
  return found.map(({ _id, tenantId, ownerId, updatedAt }) => ({
    listKey: principalKeyOf(ownerOf({ tenantId, userId: ownerId, scopes: [] })),
    key: _id satisfies SessionKey,
    updatedAt: updatedAt.toISOString(),
  }))
}
