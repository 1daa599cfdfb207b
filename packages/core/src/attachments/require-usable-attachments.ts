/** A prompt may name files that are not there, or that its agent cannot use: it is refused before it is stored. */
import { attachmentIdsOf, maxAttachmentsPerMessage } from '../contract/attachment.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { errorOf, VerbatimError } from '../contract/errors.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { Agent } from '../ports/agent.ts'
import type { EngineContext } from '../runs/engine-context.ts'

/**
 * A prompt without files costs nothing here. A run that is stored already is not refused: the repeated call receives the same run.
 *
 * @throws VerbatimError `ATTACHMENT_NOT_FOUND`, `ATTACHMENT_REFUSED`, `UNAVAILABLE`
 */
export async function requireUsableAttachments(
  { ports, audit }: EngineContext,
  { owner, runId, agent }: { owner: Owner; runId?: RunId | undefined; agent?: Agent | undefined },
  content: readonly ContentBlock[],
): Promise<void> {
  const ids = attachmentIdsOf(content)
  if (ids.length === 0) return
  if (ids.length > maxAttachmentsPerMessage) throw tooMany()
  const files = await ports.attachmentRepository.find(owner, ids)
  const missing = ids.find((id) => !files.some((file) => file.id === id))
  const refusal = missing === undefined ? agent?.refusalOf?.(files) : undefined
  if (missing === undefined && refusal === undefined) return
  if (runId !== undefined && (await ports.runRepository.getRun(owner, runId)) !== undefined) return
  if (refusal !== undefined) throw refusal
  if (missing === undefined) return
  audit.recordMissing({ owner, kind: 'attachment', id: missing })
  throw errorOf('ATTACHMENT_NOT_FOUND')
}

function tooMany(): VerbatimError {
  const message = `A message may name ${maxAttachmentsPerMessage} files; send the others with another message`
  return new VerbatimError('ATTACHMENT_REFUSED', message, { data: { kind: 'count' } })
}
