import type { ClientSession } from 'mongodb'
import type { ContentBlock } from '../../contract/content-block.ts'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import { rateLimited } from '../../contract/limit-error.ts'
import type { LimitScope } from '../../contract/limit-error.ts'
import type { Owner } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { StartOutcome } from '../../ports/run-repository.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import type { CollectedWrites } from '../driver/collected-writes.ts'
import type { Attempt } from '../driver/group-transactions.ts'
import type { Collections, RunDocument } from '../schema/collections.ts'
import { toOwnedRun, toRun, withTitle } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import type { ContentCipher, ContentWriter } from '../schema/content-cipher.ts'
import { messageKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import type { StoredContent, StoredJson, StoredTitle } from '../schema/stored-json.ts'
import { requireKnown } from '../schema/version.ts'
import { admit, isRefusal, toError, wouldAdmit } from './admit-run.ts'
import type { Admission, AdmissionRequest, Refusal } from './admit-run.ts'
import { bindAttachments, lacksAttachments, namedAttachments, requireMissing } from './bind-attachments.ts'
import type { NamedAttachments } from './bind-attachments.ts'
import { leaveRoomForRuns, takeRoomForRun } from './require-room.ts'
import { stopRuns } from './stop-runs.ts'
import { newRunDocument, storeBeginning } from './store-beginning.ts'
import type { NewRunDocument, Start } from './store-beginning.ts'

const maxTitleLength = 80

interface Starting {
  readonly owner: Owner
  readonly start: Start
  readonly run: NewRunDocument
  readonly prompt: StoredContent
  readonly input: StoredJson | undefined
  readonly named: NamedAttachments
  readonly title: StoredTitle
}

/** One attempt of the first transaction of a turn; safe to repeat with the same `startId`. */
export async function startRun(
  storage: MongoContext,
  owner: Owner,
  { start, writer, attempt }: { start: Start; writer: ContentWriter; attempt: Attempt },
): Promise<StartOutcome> {
  const run = newRunDocument(owner, { ...start, inputHash: writer.hash(start.inputHash) }, storage.clock.now())
  const key = messageKeyOf(owner, start.sessionId, start.userMessageId)
  const prompt = writer.content(key, start.prompt)
  const input = start.input === undefined ? undefined : writer.json({ part: 'input', of: key }, start.input)
  const title = writer.title(sessionKeyOf(owner, start.sessionId), titleOf(start))
  const named = namedAttachments(owner, start.prompt)
  const starting = { owner, start, run, prompt, input, named, title }
  const store = (session: ClientSession, writes: CollectedWrites) =>
    admitAndStore(storage, starting, { session, writes })
  const tried = await storage.starts.try(store, attempt)
  if (tried === undefined) return await outcomeOfStored(storage, run._id, start)
  if (tried.type !== 'refused') return tried
  return await outcomeOfRefused(storage.cipher, tried, start).catch(async (error: unknown) => {
    await requireMissing(storage.collections, named, error)
    throw error
  })
}

/** A session that takes nothing in, and what there is of the run. Both are committed, so no caller learns of what is not durable. */
export interface Refused {
  readonly type: 'refused'
  readonly refusal: Refusal
  readonly found: RunDocument | null
}

async function admitAndStore(
  storage: MongoContext,
  { owner, start, run, prompt, input, named, title }: Starting,
  { session, writes }: { session: ClientSession; writes: CollectedWrites },
): Promise<StartOutcome | Refused> {
  const { collections } = storage
  const { sessionId, runId, whenBusy, maxQueuedRuns, limits } = start
  const asked = { owner, sessionId, runId, whenBusy, maxQueuedRuns, limits }
  const request: AdmissionRequest = { ...asked, newMessages: 1, title, now: run.createdAt }
  // Before anything is written, so that a refusal undoes nothing of the others in the transaction.
  const full = await takeRoomForRun(collections, { owner, limits }, { session, writes })
  const prevention = await preventionOf(collections, { full, named, request }, session)
  const admission = prevention ?? (await admit(collections, request, { session, writes }))
  if (isRefusal(admission)) {
    if (full === undefined) leaveRoomForRuns(owner, 1, writes)
    return { type: 'refused', refusal: admission, found: await collections.runs.findOne({ _id: run._id }, { session }) }
  }
  switch (admission.type) {
    case 'idle': {
      const lease = { processId: start.processId, ms: start.leaseMs }
      await bindAttachments(collections, named, session)
      const message = { prompt, input, seq: admission.head, named }
      storeBeginning(storage, { owner, run, lease, message, event: start.startedEvent }, writes)
      return { type: 'started', owned: withTitle(storage.cipher, toOwnedRun(run), admission.title) }
    }
    case 'queued':
    case 'replaced': {
      const isReplacing = admission.type === 'replaced'
      const replaced = isReplacing ? await stopRuns(storage, owner, { before: admission.before, session }) : []
      if (isReplacing && full === undefined) leaveRoomForRuns(owner, queuedIn(admission), writes)
      await bindAttachments(collections, named, session)
      const waiting: NewRunDocument = {
        ...run,
        status: 'queued',
        prompt,
        ...(input === undefined ? {} : { input }),
        ...named,
      }
      storeBeginning(storage, { owner, run: waiting, event: start.queuedEvent }, writes)
      return { type: 'queued', key: run._id, run: toRun(waiting), replaced }
    }
  }
}

/** What prevents a run that its session may take in. A session that does not is answered first, as it is where nothing prevents the run. */
async function preventionOf(
  collections: Collections,
  { full, named, request }: { full: LimitScope | undefined; named: NamedAttachments; request: AdmissionRequest },
  session: ClientSession,
): Promise<Refusal | undefined> {
  const lacksFiles = await lacksAttachments(collections, named, session)
  if (full === undefined && !lacksFiles) return undefined
  const would = await wouldAdmit(collections, request, session)
  if (would !== undefined && isRefusal(would)) return would
  if (lacksFiles) return { type: 'prevented', error: errorOf('ATTACHMENT_NOT_FOUND') }
  // One that ends queued runs in its stead makes its own room.
  if (full === undefined || (would?.type === 'replaced' && queuedIn(would) > 0)) return undefined
  return { type: 'prevented', error: rateLimited(full, 'active_runs') }
}

function queuedIn({ before }: Extract<Admission, { type: 'replaced' }>): number {
  return before.queue?.length ?? 0
}

/** @throws VerbatimError `SESSION_DELETED`, `SESSION_BUSY`, `RUN_ID_REUSED`, and what prevented the run */
export async function outcomeOfRefused(
  cipher: ContentCipher,
  { refusal, found }: Refused,
  start: Pick<Start, 'inputHash' | 'startId'>,
): Promise<StartOutcome> {
  // A deleted session says so, whatever is left in it; but the run of an earlier attempt of this start is to be driven to its end.
  if (found !== null && (refusal.type !== 'deleted' || found.startId === start.startId)) {
    return await outcomeOfFound(cipher, found, start)
  }
  throw toError(refusal)
}

/** The run whose keys the transaction met. @throws NotCommittedYetError when a majority does not have it yet */
async function outcomeOfStored(
  { collections, cipher }: MongoContext,
  key: RunKey,
  start: Pick<Start, 'inputHash' | 'startId'>,
): Promise<StartOutcome> {
  const found = await collections.runs.findOne({ _id: key })
  if (found === null) throw new NotCommittedYetError()
  return await outcomeOfFound(cipher, found, start)
}

/** The run of this id, made by an earlier attempt or an earlier call. @throws VerbatimError `RUN_ID_REUSED` */
export async function outcomeOfFound(
  cipher: ContentCipher,
  found: RunDocument,
  start: Pick<Start, 'inputHash' | 'startId'>,
): Promise<StartOutcome> {
  requireKnown(found)
  if (found.status === 'deleted' || !(await cipher.isHashOf(found.inputHash, start.inputHash))) {
    throw new VerbatimError('RUN_ID_REUSED', 'This run id was used for another prompt; make a new id', {
      data: { field: 'runId' },
    })
  }
  const isMine = found.startId === start.startId
  if (isMine && found.status === 'running') return { type: 'started', owned: toOwnedRun(found) }
  if (isMine && found.status === 'queued') {
    return { type: 'queued', key: found._id, run: toRun(found), replaced: [] }
  }
  return { type: 'existing', run: toRun(found) }
}

/**
 * The first line of the first text names the session until a caller renames it. Without text it is what a document is called or an
 * image shows.
 */
function titleOf({ prompt }: Start): string | null {
  const name = prompt.find(({ type }) => type === 'text') ?? prompt.find((block) => nameOf(block) !== undefined)
  const text = name && nameOf(name)
  if (text === undefined) return null
  const [line = ''] = text.trim().split('\n', 1)
  return line.trim().slice(0, maxTitleLength).toWellFormed()
}

function nameOf(block: ContentBlock): string | undefined {
  switch (block.type) {
    case 'text':
      return block.text
    case 'document':
      return block.title
    case 'image':
      return block.alt
    default:
      return undefined
  }
}
