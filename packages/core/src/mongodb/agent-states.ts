/** States of agents in MongoDB: one document a session and name, written only by the writer that has read the newest. */
import { VerbatimError } from '../contract/errors.ts'
import type { AgentState } from '../contract/agent-state.ts'
import type { Owner } from '../contract/principal.ts'
import type { AgentStates, NewAgentState } from '../ports/agent-states.ts'
import { insertDocument } from './driver/insert.ts'
import { NotCommittedYetError } from './driver/map-error.ts'
import { retryRequest } from './driver/retry.ts'
import type { TakeTurn } from './driver/take-turn.ts'
import { AbortTransition, tryTransition } from './driver/transaction.ts'
import type { AgentStateDocument } from './schema/collections.ts'
import { toAgentState } from './schema/documents.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { agentStateKeyOf, sessionKeyOf } from './schema/owner-keys.ts'
import { findLinearizable } from './schema/read-barrier.ts'
import { known, requireKnown } from './schema/version.ts'
import { notDeleted } from './transitions/admit-run.ts'

export function createAgentStates(storage: MongoContext, takeTurn: TakeTurn): AgentStates {
  const { collections } = storage
  return {
    async read(owner, { sessionId, name }) {
      const _id = agentStateKeyOf(owner, sessionId, name)
      return await retryRequest(async () => {
        const found = await findLinearizable(collections, () => collections.agentStates.findOne({ _id }))
        if (found === null) return undefined
        await requireSession(storage, owner, sessionId)
        return await toAgentState(storage.cipher, found)
      })
    },
    async write(owner, state) {
      // Tells whether an earlier attempt of this call has landed.
      const writeId = crypto.randomUUID()
      return await takeTurn({ owner, sessionId: state.sessionId }, () => write(storage, owner, { ...state, writeId }))
    },
  }
}

/** One attempt. The document is taken out and inserted again: an update would hold the state, and so might the log of mongod. */
async function write(
  storage: MongoContext,
  owner: Owner,
  { sessionId, name, state, expectedRevision, writeId }: NewAgentState & { writeId: string },
): Promise<AgentState> {
  const { client, collections, cipher, clock } = storage
  const { sessions, agentStates } = collections
  const s = sessionKeyOf(owner, sessionId)
  const _id = agentStateKeyOf(owner, sessionId, name)
  const sealed = (await cipher.writerFor(owner)).json({ part: 'state', of: _id }, state)
  const stored = await tryTransition(client, async (transaction) => {
    const updatedAt = clock.now()
    // Meets a deletion of the session.
    const update = { $set: { updatedAt }, $inc: { rev: 1 } }
    const touched = await sessions.updateOne({ _id: s, ...notDeleted, ...known }, update, { session: transaction })
    if (touched.matchedCount === 0) throw new AbortTransition()
    const before = { _id, rev: { $eq: expectedRevision }, ...known }
    const taken = await agentStates.deleteOne(before, { session: transaction })
    if (taken.deletedCount === 0 && expectedRevision > 0) throw new AbortTransition()
    const document: AgentStateDocument = {
      _id,
      s,
      name,
      sessionId,
      rev: expectedRevision + 1,
      writeId,
      state: sealed,
      updatedAt,
      v: 1,
    }
    await insertDocument(agentStates, document, { session: transaction })
    return document
  })
  if (stored !== undefined) return await toAgentState(cipher, stored)
  await requireSession(storage, owner, sessionId)
  const found = await findLinearizable(collections, () => agentStates.findOne({ _id }))
  if (found !== null) requireKnown(found)
  if (found?.writeId === writeId) return await toAgentState(cipher, found)
  if ((found?.rev ?? 0) === expectedRevision) throw new NotCommittedYetError()
  throw new VerbatimError('STATE_MOVED')
}

/** @throws VerbatimError `SESSION_NOT_FOUND`, `SESSION_DELETED` */
async function requireSession({ collections }: MongoContext, owner: Owner, sessionId: string): Promise<void> {
  const _id = sessionKeyOf(owner, sessionId)
  const session = await findLinearizable(collections, () =>
    collections.sessions.findOne({ _id }, { projection: { deletedAt: 1, v: 1 } }),
  )
  if (session === null) throw new VerbatimError('SESSION_NOT_FOUND')
  requireKnown(session)
  if (session.deletedAt !== undefined) throw new VerbatimError('SESSION_DELETED')
}
