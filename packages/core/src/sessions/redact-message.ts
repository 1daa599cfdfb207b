import { attachmentIdsOf } from '../contract/attachment.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { requireFound, VerbatimError } from '../contract/errors.ts'
import type { Message } from '../contract/message.ts'
import type { Owner } from '../contract/principal.ts'
import { requirePromptSize } from '../contract/prompt.ts'
import type { MessageActions } from '../engine/engine.ts'
import type { EngineContext } from '../runs/engine-context.ts'

const maxReasons = 32
const maxReasonLength = 200

/** @throws VerbatimError `MESSAGE_NOT_FOUND`, `INVALID_INPUT`, `MESSAGE_TOO_LARGE`, `SESSION_DELETED` */
export async function redactMessage(
  { ports }: EngineContext,
  owner: Owner,
  { content, reasons = [], ...place }: Parameters<MessageActions['redact']>[1],
): Promise<Message> {
  const blocks: readonly ContentBlock[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  requirePromptSize(Buffer.byteLength(JSON.stringify(blocks)), 'content')
  if (attachmentIdsOf(blocks).length > 0) throw invalid('content', 'a redaction names no files')
  if (reasons.length > maxReasons || reasons.some((reason) => reason.length > maxReasonLength)) {
    throw invalid('reasons', `use at most ${maxReasons}, of at most ${maxReasonLength} characters`)
  }
  const { sessionRepository: repository } = ports
  const redacted = await repository.redactMessage(owner, { ...place, content: blocks, reasons })
  if (redacted === undefined) await repository.getSession(owner, place.sessionId) // tells of a deleted session
  return requireFound(redacted, 'MESSAGE_NOT_FOUND')
}

function invalid(field: string, reason: string): VerbatimError {
  return new VerbatimError('INVALID_INPUT', `${field}: ${reason}`, { data: { field } })
}
