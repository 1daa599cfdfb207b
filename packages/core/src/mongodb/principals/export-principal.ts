/**
 * Everything of one owner, as lines. Each list is read in the order of a key that never changes, page by page: a document is read once, a
 * slow reader holds no cursor open, and after an election the next page comes from the new primary.
 */
import type { FindCursor } from 'mongodb'
import { isVerbatimError } from '../../contract/errors.ts'
import { lastSeqOf } from '../../contract/event.ts'
import type { ExportItem } from '../../contract/principal-data.ts'
import type { Owner } from '../../contract/principal.ts'
import type { EventLog } from '../../ports/event-log.ts'
import type { AgentStateDocument, RunDocument, SessionDocument } from '../schema/collections.ts'
import { toAgentState, toMessage, toRun, toSession } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { messageKeyOf } from '../schema/owner-keys.ts'
import { retryUntil } from '../driver/retry.ts'
import { rowHoldings } from './holdings.ts'
import type { Row } from './holdings.ts'

/** Documents of one page; the server ends a page before 16 MB. */
const pageSize = 100

/** How long the database may be away before the export fails, in milliseconds: longer than an election. */
const patienceMs = 30_000

/** What one read of a log takes. */
const eventsPerRead = { maxBatches: 64, maxBytes: 256 * 1024 } as const

interface Export {
  readonly storage: MongoContext
  readonly eventLog: EventLog
  readonly owner: Owner
  readonly signal: AbortSignal
}

export async function* exportPrincipal(input: Export): AsyncGenerator<ExportItem, void, void> {
  const { storage, owner, signal } = input
  const { collections } = storage
  const { tenantId, ownerId } = owner
  const sessions = pages<SessionDocument>(signal, (last) =>
    collections.sessions.find({ tenantId, ownerId, ...(last && { _id: { $gt: last._id } }) }).sort({ _id: 1 }),
  )
  for await (const session of sessions) yield* exportSession(input, session)
  for (const { rows, filterOf, toItem } of rowHoldings(collections)) {
    const filter = filterOf(owner)
    const own = pages<Row>(signal, (last) =>
      rows.find(last === undefined ? filter : { $and: [filter, { _id: { $gt: last._id } }] }).sort({ _id: 1 }),
    )
    for await (const row of own) yield await toItem(row, owner, storage.cipher)
  }
}

/** A session as it was when its line was read: its messages up to the head of then. What is deleted meanwhile is not there any more. */
async function* exportSession(input: Export, session: SessionDocument): AsyncGenerator<ExportItem, void, void> {
  const { owner, storage } = input
  const { collections, cipher } = storage
  const { messages, agentStates, runs } = collections
  const s = session._id
  yield { type: 'session', session: await toSession(cipher, session) }
  const stored = pages(input.signal, (last: { seq: number } | undefined) =>
    messages.find({ s, b: 'main', seq: { $gt: last?.seq ?? 0, $lte: session.head } }).sort({ seq: 1 }),
  )
  for await (const message of stored) yield { type: 'message', message: await toMessage(cipher, message) }
  const states = pages<AgentStateDocument>(input.signal, (last) =>
    agentStates.find({ s, ...(last && { _id: { $gt: last._id } }) }).sort({ _id: 1 }),
  )
  for await (const state of states) yield { type: 'agent_state', agentState: await toAgentState(cipher, state) }
  const made = pages<RunDocument>(input.signal, (last) => {
    const past = last && {
      $or: [{ createdAt: { $gt: last.createdAt } }, { createdAt: last.createdAt, _id: { $gt: last._id } }],
    }
    return runs.find({ s, ...past }).sort({ createdAt: 1, _id: 1 })
  })
  for await (const run of made) {
    if (run.status === 'deleted') continue
    const key = messageKeyOf(owner, run.sessionId, run.userMessageId)
    const prompt = run.prompt === undefined ? null : await cipher.readContent(key, run.prompt)
    const given = run.input === undefined ? {} : { input: await cipher.readJson({ part: 'input', of: key }, run.input) }
    yield { type: 'run', run: toRun(run), prompt, ...given }
    yield* exportEvents(input, run)
  }
}

/** The events of a run so far; of one that goes on, without an end. */
async function* exportEvents({ eventLog, signal }: Export, run: RunDocument): AsyncGenerator<ExportItem, void, void> {
  const { id: runId, sessionId } = run
  try {
    let after = 0
    while (true) {
      const batches = await eventLog.read(run._id, { after, ...eventsPerRead, signal })
      for (const batch of batches) yield { type: 'events', sessionId, runId, ...batch }
      const last = batches.at(-1)
      if (last === undefined) return
      after = lastSeqOf(last)
    }
  } catch (error) {
    if (!isVerbatimError(error) || (error.code !== 'CURSOR_EXPIRED' && error.code !== 'SESSION_DELETED')) throw error
    yield { type: 'events_expired', sessionId, runId }
  }
}

/** The documents of `find` in its order; it receives the last document of the page before. */
async function* pages<TDocument extends object>(
  signal: AbortSignal,
  find: (last: TDocument | undefined) => FindCursor<TDocument>,
): AsyncGenerator<TDocument, void, void> {
  let last: TDocument | undefined
  while (true) {
    const page = await retryUntil(AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]), async () => {
      await using cursor = find(last).limit(pageSize)
      // The first answer of the server, and no more: whatever the size of the documents, it has at most 16 MB.
      return (await cursor.hasNext()) ? cursor.readBufferedDocuments() : []
    })
    if (page.length === 0) return
    yield* page
    last = page.at(-1)
  }
}
