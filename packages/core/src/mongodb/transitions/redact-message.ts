/**
 * A message loses its words and keeps its place: what takes their place is stored in the same transaction as the row of the audit that
 * says why. Of an answer that a run has made, the words are in the run's log too; that one is not redacted here.
 */
import { VerbatimError } from '../../contract/errors.ts'
import type { Message } from '../../contract/message.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Redaction } from '../../ports/session-repository.ts'
import { attachmentsOf, releaseAttachments } from '../attachments/remove-attachments.ts'
import { insertDocument } from '../driver/insert.ts'
import { AbortTransition, tryTransition } from '../driver/transaction.ts'
import { announce } from '../schema/audit-rows.ts'
import type { AuditDocument, MessageDocument } from '../schema/collections.ts'
import { toMessage } from '../schema/documents.ts'
import type { MongoContext } from '../schema/mongo-context.ts'
import { messageKeyOf, sessionKeyOf } from '../schema/owner-keys.ts'
import { findLinearizable } from '../schema/read-barrier.ts'
import { known, requireKnown } from '../schema/version.ts'
import { notDeleted } from './admit-run.ts'

/** One attempt; undefined when there is no such message. @throws VerbatimError `INVALID_INPUT` for an answer of a run */
export async function redactMessage(
  storage: MongoContext,
  owner: Owner,
  { sessionId, messageId, content, reasons, auditId }: Redaction & { auditId: string },
): Promise<Message | undefined> {
  const { client, collections, cipher, clock } = storage
  const { sessions, messages, audit } = collections
  const _id = messageKeyOf(owner, sessionId, messageId)
  const written = (await cipher.writerFor(owner)).content(_id, content)
  const done = await tryTransition(client, async (transaction) => {
    const now = clock.now()
    const update = { $set: { updatedAt: now }, $inc: { rev: 1 } }
    const place = { _id: sessionKeyOf(owner, sessionId), ...notDeleted, ...known }
    const touched = await sessions.updateOne(place, update, { session: transaction })
    if (touched.matchedCount === 0) throw new AbortTransition()
    // Taken out and inserted again: an update would hold the content, and so might the log of mongod.
    const taken = await messages.findOneAndDelete({ _id, ...known }, { session: transaction })
    if (taken === null) throw new AbortTransition()
    requireOwnWords(taken)
    const row = auditRow({ owner, messageId, reasons, auditId, now })
    await audit.insertOne(row, { session: transaction })
    const { attachments: _files, input: _input, output: _output, data: _data, ...kept } = taken
    const document: MessageDocument = { ...kept, content: written }
    await insertDocument(messages, document, { session: transaction })
    await releaseAttachments(collections, attachmentsOf([taken]), { now, session: transaction })
    return { document, row }
  })
  if (done !== undefined) {
    announce(storage.audit, [done.row])
    return await toMessage(cipher, done.document)
  }
  // An earlier attempt may have landed: then this is the redacted message.
  const found = await findLinearizable(collections, () => messages.findOne({ _id }))
  if (found === null) return undefined
  requireKnown(found)
  return await toMessage(cipher, found)
}

function requireOwnWords({ role, runId }: MessageDocument): void {
  if (role === 'user' || runId === null) return
  throw new VerbatimError('INVALID_INPUT', 'messageId: the answer of a run is in its log too; delete the session', {
    data: { field: 'messageId' },
  })
}

function auditRow({
  owner,
  messageId,
  reasons,
  auditId,
  now,
}: Pick<Redaction, 'messageId' | 'reasons'> & { owner: Owner; auditId: string; now: Date }): AuditDocument {
  return {
    _id: auditId,
    tenantId: owner.tenantId,
    actor: owner.ownerId,
    subject: owner.ownerId,
    action: 'message_redacted',
    target: `message:${messageId}`,
    counts: null,
    ...(reasons.length === 0 ? {} : { reasons }),
    at: now,
    v: 1,
  }
}
